"""TRL's DPOTrainer on the benchmark's pairs, timed. Prints one JSON line, the last of stdout.

    python train.py --model DIR --data pairs.jsonl --dtype fp32|medium|amp|bf16 [--steps 12] [--discard 2] [--batch 4]
        [--max-length 512] [--precompute] [--lora 16] [--lr 1e-6] [--beta 0.1] [--seed 42]

Rows are {prompt, chosen, rejected} as chat messages, written by bench/main.ts from the same data set that the
TypeScript side reads, in the same order; `amp` is fp32 weights under bf16 autocast, TRL's own `bf16=True`; `bf16` is weights
in bf16, for LoRA: PEFT keeps the adapters in fp32.
"""
import argparse
import json
import os
import resource
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # also silences TRL's usage ping
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "medium", "amp", "bf16"])
    for name, value in dict(steps=12, discard=2, batch=4, lora=0, seed=42, max_length=512).items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    parser.add_argument("--lr", type=float, default=1e-6)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--precompute", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    if options.dtype == "medium":
        torch.set_float32_matmul_precision("medium")
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.bfloat16 if options.dtype == "bf16" else torch.float32)
    with open(options.data, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]

    batches = []

    class Collator(DataCollatorForPreference):
        def torch_call(self, examples):
            batch = super().torch_call(examples)
            mask = batch["attention_mask"]
            batches.append((len(examples), int(mask.sum()), mask.numel()))
            return batch

    class Clock(TrainerCallback):
        ends = []

        def on_train_begin(self, *_, **__):
            self.ends.append(time.perf_counter())

        def on_step_end(self, *_, **__):
            self.ends.append(time.perf_counter())

    reference = {}

    class Trainer(DPOTrainer):
        def _get_train_sampler(self, *_, **__):  # the same batches in the same order as the other side
            return SequentialSampler(self.train_dataset)

        def _precompute_ref_logps(self, *args, **kwargs):
            start = time.perf_counter()
            result = super()._precompute_ref_logps(*args, **kwargs)
            reference.update(seconds=time.perf_counter() - start, pairs=sum(batch[0] for batch in batches))
            return result

    config = DPOConfig(
        output_dir="trl-output", per_device_train_batch_size=options.batch, max_steps=options.steps,
        learning_rate=options.lr, lr_scheduler_type="constant", beta=options.beta, loss_type="sigmoid",
        max_length=options.max_length, gradient_checkpointing=False, bf16=options.dtype == "amp", use_cpu=True,
        optim="adamw_torch", logging_steps=1, save_strategy="no", precompute_ref_log_probs=options.precompute,
        report_to="none", seed=options.seed, dataloader_pin_memory=False)
    adapter = None
    if options.lora:
        from peft import LoraConfig
        adapter = LoraConfig(
            r=options.lora, lora_alpha=2 * options.lora, lora_dropout=0.0, task_type="CAUSAL_LM",
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    trainer = Trainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=adapter, callbacks=[Clock()],
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id, max_length=options.max_length))
    batches.clear()
    trainer.train()
    steps = [end - start for start, end in zip(Clock.ends, Clock.ends[1:])]
    used = batches[-len(steps):][options.discard:]
    counted = steps[options.discard:]
    logs = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    print(json.dumps({
        "tool": f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
        "stepSeconds": counted,
        "pairs": sum(batch[0] for batch in used),
        "tokens": sum(batch[1] for batch in used),
        "padding": 1 - sum(batch[1] for batch in used) / sum(batch[2] for batch in used),
        "losses": [float(entry["loss"]) for entry in logs],
        "referenceSeconds": reference.get("seconds"),
        "referencePairs": reference.get("pairs"),
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }), flush=True)


if __name__ == "__main__":
    main()
