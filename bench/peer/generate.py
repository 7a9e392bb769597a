"""Greedy generation by transformers, timed.

    python generate.py --model DIR --prompts tokens.jsonl [--dtype fp32|bf16] [--new 64]

Rows are {ids: [ids]}; all are one left-padded batch. Stops are off, so that both sides do the same work.
"""
import argparse
import json
import os
import resource
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--prompts", required=True)
parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
parser.add_argument("--new", type=int, default=64)
options = parser.parse_args()

model = AutoModelForCausalLM.from_pretrained(
    options.model, dtype=torch.float32 if options.dtype == "fp32" else torch.bfloat16).eval()
with open(options.prompts, encoding="utf-8") as file:
    prompts = [json.loads(line)["ids"] for line in file]
model.generation_config.eos_token_id = None
width = max(map(len, prompts))
tokens = torch.zeros(len(prompts), width, dtype=torch.int64)
mask = torch.zeros(len(prompts), width, dtype=torch.int64)
for row, ids in enumerate(prompts):
    tokens[row, width - len(ids):] = torch.tensor(ids)
    mask[row, width - len(ids):] = 1


def generate(new):
    return model.generate(
        input_ids=tokens, attention_mask=mask, max_new_tokens=new, do_sample=False, num_beams=1, pad_token_id=0)


generate(4)  # warm-up
start = time.perf_counter()
output = generate(options.new)
seconds = time.perf_counter() - start
print(json.dumps({
    "seconds": seconds, "tokens": len(prompts) * options.new, "new": output[:, width:].tolist(),
    "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
