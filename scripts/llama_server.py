"""Serves a GGUF on loopback with llama.cpp's OpenAI-compatible server, for tests and for judging without a network.

    pip install xllamacpp
    python scripts/llama_server.py MODEL.gguf [--context 2048] [--threads 2]

Prints one JSON line, {"url": "http://127.0.0.1:PORT/v1"}, when it answers; runs until its stdin is closed. The key/value
cache is fp32 and flash attention is off, so that an F32 model computes in fp32 throughout.
"""

import argparse
import json
import sys

import xllamacpp


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    arguments = parser.parse_args()

    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.n_ctx = arguments.context
    params.n_parallel = 1
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.warmup = False

    server = xllamacpp.Server(params)
    print(json.dumps({"url": f"{server.listening_address.rstrip('/')}/v1"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
