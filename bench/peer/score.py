"""Log-probabilities and mean entropies of completions by transformers, batched by 8 and sorted by length, timed.

    python score.py --model DIR --data tokens.jsonl [--dtype fp32|bf16] [--batch 8]

Rows are {prompt: [ids], chosen: [ids], rejected: [ids]}. Prints one JSON line.
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
parser.add_argument("--data", required=True)
parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
parser.add_argument("--batch", type=int, default=8)
options = parser.parse_args()

model = AutoModelForCausalLM.from_pretrained(
    options.model, dtype=torch.float32 if options.dtype == "fp32" else torch.bfloat16).eval()
with open(options.data, encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
sequences = [(row["prompt"] + row[side], len(row["prompt"])) for row in rows for side in ("chosen", "rejected")]
order = sorted(range(len(sequences)), key=lambda index: len(sequences[index][0]))
results = [None] * len(sequences)
start = time.perf_counter()
with torch.inference_mode():
    for first in range(0, len(order), options.batch):
        batch = order[first:first + options.batch]
        width = max(len(sequences[index][0]) for index in batch)
        tokens = torch.zeros(len(batch), width, dtype=torch.int64)
        mask = torch.zeros(len(batch), width, dtype=torch.int64)
        for row, index in enumerate(batch):
            ids = sequences[index][0]
            tokens[row, :len(ids)] = torch.tensor(ids)
            mask[row, :len(ids)] = 1
        logits = model(tokens, attention_mask=mask).logits
        for row, index in enumerate(batch):
            ids, prompt = sequences[index]
            logps = torch.log_softmax(logits[row, prompt - 1:len(ids) - 1].float(), -1)
            chosen = logps.gather(1, torch.tensor(ids[prompt:])[:, None]).sum()
            entropy = -(logps.exp() * logps).sum(-1).mean()
            results[index] = (float(chosen), float(entropy))
seconds = time.perf_counter() - start
print(json.dumps({
    "seconds": seconds, "pairs": len(rows), "logp": sum(value[0] for value in results) / len(results),
    "entropy": sum(value[1] for value in results) / len(results),
    "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
