"""The bandit of MallowsPO (Appendix C.1) in eager PyTorch, to time against `mallows reproduce bandit`.

The same loop: five logits, 16 pairs, mean loss, SGD 5e-3, fp64, with autograd and torch.optim, as one would write it
first. `one` trains one policy at a time; `batch` trains all beta values as a leading axis of one tensor. Prints a JSON
line: policy-epochs a second, and the policies, which can be held against the command's at the same number of epochs.

    python bench/peer/bandit_torch.py --epochs 2000
"""

import argparse
import json
import math
import time

import torch

PAIRS = [(3, 5), (2, 5), (2, 5), (1, 2), (3, 5), (1, 5), (1, 4), (1, 5)]
PAIRS += [(4, 5), (2, 4), (2, 1), (2, 5), (1, 3), (3, 5), (3, 4), (4, 2)]
WIN = torch.tensor([w - 1 for w, _ in PAIRS])
LOSE = torch.tensor([l - 1 for _, l in PAIRS])


def dpo(s, phi):
    return -torch.nn.functional.logsigmoid(s)


def mallows_phi(s, phi):
    """Eq. 9. At 0, where it is 0/0 and abs has no slope, the s < 0 branch a hair away: else training never starts."""
    a = torch.where(s >= 1e-6, s, 1e-7 - s)
    inside = (a + 1) / (1 - phi ** (a + 1)) - a / (1 - phi**a)
    return -torch.log(torch.where(s >= 1e-6, inside, 1 - inside))


def train(loss, betas, phi, epochs):
    logits = torch.zeros(len(betas), 5, dtype=torch.float64, requires_grad=True)
    reference = torch.full((5,), -math.log(5), dtype=torch.float64)
    beta = torch.tensor(betas, dtype=torch.float64)[:, None]
    optimizer = torch.optim.SGD([logits], lr=5e-3)
    for _ in range(epochs):
        ratio = torch.log_softmax(logits, -1) - reference
        value = loss(beta * (ratio[:, WIN] - ratio[:, LOSE]), phi).mean(-1).sum()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return torch.softmax(logits.detach(), -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--phi", type=float, default=0.05)
    args = parser.parse_args()
    torch.set_num_threads(1)  # five logits: more threads only cost
    betas = [0.005 * 400 ** (i / 20) for i in range(21)]
    result = {"torch": torch.__version__.split("+")[0], "epochs": args.epochs}
    for name, loss in {"dpo": dpo, "mallows-phi": mallows_phi}.items():
        for mode, chosen in {"one": [0.05], "batch": betas}.items():
            train(loss, chosen, args.phi, 50)
            start, cpu = time.perf_counter(), time.process_time()
            policy = train(loss, chosen, args.phi, args.epochs)
            rate = len(chosen) * args.epochs
            result[f"{name} {mode}"] = {
                "policy_epochs_per_second": round(rate / (time.perf_counter() - start)),
                "policy_epochs_per_cpu_second": round(rate / (time.process_time() - cpu)),
                "first_policy": [round(p, 6) for p in policy[0].tolist()],
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
