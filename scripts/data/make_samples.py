"""Makes the data files in examples/data from full data sets. Python's standard library only.

    python scripts/data/make_samples.py --source DIR [--output examples/data]

DIR holds hh/train.jsonl.gz (Anthropic HH, harmless-base), ultrafeedback/train.jsonl.gz (UltraFeedback-binarized),
dpo-multiturn/pairs.jsonl.gz (ShareGPT layout) and human-agreement/pandalm.jsonl.gz (PandaLM's human-labelled set).

- hh.jsonl, ultrafeedback.jsonl, multiturn.jsonl: rows named below by line, read by a person and found harmless.
- pandalm.jsonl.gz: all 500 rows.
- quickstart-train.jsonl.gz, quickstart-eval.jsonl.gz: short PandaLM pairs that a majority decided, see quickstart().
"""

import argparse
import gzip
import hashlib
import json
from pathlib import Path

HH_LINES = [5, 16, 38, 94, 123, 132, 194]
ULTRAFEEDBACK_LINES = [9, 14, 15, 34, 41, 50, 81, 82, 102, 103, 107, 116, 127, 151, 153, 158, 168, 182, 189]
MULTITURN_LINES = [4, 6, 14, 17, 19, 24, 33, 47, 54, 67, 70, 72, 76]

MAX_CHARACTERS = 900  # instruction, input and both responses together
MIN_WORDS = 0.85  # share of letters and spaces: leaves out puzzles, tables and formulas
EVAL_PAIRS = 102
EVAL_PAIRS_PER_PROMPT = 5


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    # mtime=0: the same rows give the same bytes
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    print(f"{path.name}: {len(rows)} rows, {path.stat().st_size} bytes")


def quickstart(rows):
    """Short pairs that more annotators decided one way than the other, split so that no prompt is on both sides.

    Left out: ties, empty or equal responses, blank instructions, pairs of more than MAX_CHARACTERS or less than
    MIN_WORDS, and repetitions of the same prompt and responses. Prompts are taken in the order of their SHA-256 until the held-out side has
    EVAL_PAIRS pairs, at most EVAL_PAIRS_PER_PROMPT of each prompt; the rest is for training.
    """
    by_prompt, seen = {}, set()
    for row in rows:
        first, second = row["annotators"].count(1), row["annotators"].count(2)
        responses = (row["response1"], row["response2"])
        texts = (row["instruction"], row["input"], *responses)
        if first == second or responses[0] == responses[1] or not all(text.strip() for text in responses):
            continue
        if not row["instruction"].strip() or sum(map(len, texts)) > MAX_CHARACTERS:
            continue
        if sum(c.isalpha() or c.isspace() for c in "".join(texts)) < MIN_WORDS * sum(map(len, texts)):
            continue
        prompt = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
        chosen, rejected = responses if first > second else responses[::-1]
        if (prompt, chosen, rejected) in seen or (prompt, rejected, chosen) in seen:
            continue
        seen.add((prompt, chosen, rejected))
        by_prompt.setdefault(prompt, []).append(
            {
                "id": f"pandalm-{row['idx']}",
                "prompt": [{"role": "user", "content": prompt}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "votes": {"chosen": max(first, second), "rejected": min(first, second), "tie": row["annotators"].count(0)},
            }
        )
    train, held_out = [], []
    for prompt in sorted(by_prompt, key=lambda text: hashlib.sha256(text.encode()).hexdigest()):
        pairs = by_prompt[prompt]
        if len(held_out) < EVAL_PAIRS:
            held_out += pairs[:EVAL_PAIRS_PER_PROMPT]
        else:
            train += pairs
    return train, held_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "examples" / "data")
    options = parser.parse_args()

    def chosen(path, lines):
        rows = read(options.source / path)
        return [rows[line - 1] for line in lines]

    write(options.output / "hh.jsonl", chosen("hh/train.jsonl.gz", HH_LINES))
    write(options.output / "ultrafeedback.jsonl", chosen("ultrafeedback/train.jsonl.gz", ULTRAFEEDBACK_LINES))
    write(options.output / "multiturn.jsonl", chosen("dpo-multiturn/pairs.jsonl.gz", MULTITURN_LINES))
    pandalm = read(options.source / "human-agreement/pandalm.jsonl.gz")
    write(options.output / "pandalm.jsonl.gz", pandalm)
    train, held_out = quickstart(pandalm)
    write(options.output / "quickstart-train.jsonl.gz", train)
    write(options.output / "quickstart-eval.jsonl.gz", held_out)


if __name__ == "__main__":
    main()
