// The statistics of rows of logits, and the slope of their log-probabilities, without a table of
// log-probabilities.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "parallel.h"
#include "tensors.h"

namespace mallows::kernels {
namespace {

void checkTargets(const Tensor& logits, const Tensor& targets) {
  TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous(), "logits must be dense [rows, vocabulary], not ",
              logits.sizes());
  TORCH_CHECK(
      targets.scalar_type() == at::kLong && targets.is_contiguous() && targets.numel() == logits.size(0),
      "one int64 target for each of ", logits.size(0), " rows is expected");
  const int64_t* target = targets.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < logits.size(0); ++row) {
    TORCH_CHECK(target[row] >= 0 && target[row] < logits.size(1), "target ", target[row],
                " lies outside the vocabulary of ", logits.size(1));
  }
}

/// `[4, rows]`: log-probability of the target, log Σ exp, entropy, log Σ p².
Tensor headStatistics(const Tensor& logits, const Tensor& targets) {
  checkTargets(logits, targets);
  const int64_t rows = logits.size(0);
  const int64_t vocabulary = logits.size(1);
  Tensor statistics = at::empty({4, rows}, wideOptions(logits));
  withScalar(logits, "head_statistics", [&](auto scalar) {
    using T = decltype(scalar);
    const T* from = logits.const_data_ptr<T>();
    const int64_t* target = targets.const_data_ptr<int64_t>();
    auto* to = statistics.mutable_data_ptr<Wide<T>>();
    forEachPart(rows, 1, [&](int64_t first, int64_t end, int64_t) {
      for (int64_t row = first; row < end; ++row) {
        const HeadRow<T> found = loops<T>().headRow(from + row * vocabulary, vocabulary, target[row]);
        to[row] = found.logp;
        to[rows + row] = found.logSum;
        to[2 * rows + row] = found.entropy;
        to[3 * rows + row] = found.logSumSquares;
      }
    });
  });
  return statistics;
}

/// `[rows]`: KL between the distributions of two tables of logits, row by row.
Tensor headDivergence(const Tensor& logits, const Tensor& reference) {
  for (const Tensor& each : {logits, reference}) {
    TORCH_CHECK(each.dim() == 2 && each.is_contiguous() && each.sizes() == logits.sizes() &&
                    each.scalar_type() == logits.scalar_type(),
                "two dense tables of logits [rows, vocabulary] of one dtype are expected, not ",
                logits.sizes(), " and ", reference.sizes());
  }
  const int64_t rows = logits.size(0);
  const int64_t vocabulary = logits.size(1);
  Tensor divergence = at::empty({rows}, wideOptions(logits));
  withScalar(logits, "head_divergence", [&](auto scalar) {
    using T = decltype(scalar);
    const T* p = logits.const_data_ptr<T>();
    const T* q = reference.const_data_ptr<T>();
    auto* to = divergence.mutable_data_ptr<Wide<T>>();
    forEachPart(rows, 1, [&](int64_t first, int64_t end, int64_t) {
      for (int64_t row = first; row < end; ++row) {
        to[row] = loops<T>().rowDivergence(p + row * vocabulary, q + row * vocabulary, vocabulary);
      }
    });
  });
  return divergence;
}

/// Replaces each row of logits by the slope of seed · log p(target).
Tensor& headSlopes(Tensor& logits, const Tensor& targets, const Tensor& logSums, const Tensor& seeds) {
  checkTargets(logits, targets);
  const int64_t vocabulary = logits.size(1);
  for (const Tensor& each : {logSums, seeds}) {
    TORCH_CHECK(each.scalar_type() == wideOptions(logits).dtype() && each.is_contiguous() &&
                    each.numel() == logits.size(0),
                "one wide number for each row is expected");
  }
  withScalar(logits, "head_slopes_", [&](auto scalar) {
    using T = decltype(scalar);
    T* at = logits.mutable_data_ptr<T>();
    const int64_t* target = targets.const_data_ptr<int64_t>();
    const auto* logSum = logSums.const_data_ptr<Wide<T>>();
    const auto* seed = seeds.const_data_ptr<Wide<T>>();
    forEachPart(logits.size(0), 1, [&](int64_t first, int64_t end, int64_t) {
      for (int64_t row = first; row < end; ++row) {
        loops<T>().headRowBackward(at + row * vocabulary, vocabulary, target[row], logSum[row], seed[row]);
      }
    });
  });
  wroteTo(logits);
  return logits;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def("head_statistics(Tensor logits, Tensor targets) -> Tensor");
  library.def("head_divergence(Tensor logits, Tensor reference) -> Tensor");
  library.def("head_slopes_(Tensor(a!) logits, Tensor targets, Tensor log_sums, Tensor seeds) -> Tensor(a!)");
}

TORCH_LIBRARY_IMPL(mallows, CPU, library) {
  library.impl("head_statistics", headStatistics);
  library.impl("head_divergence", headDivergence);
  library.impl("head_slopes_", headSlopes);
}

}  // namespace mallows::kernels
