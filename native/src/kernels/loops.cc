// Compiled once per instruction set; MALLOWS_ISA names the namespace.
#include "loops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "attention_loops.h"
#include "vectors.h"

namespace mallows::kernels::MALLOWS_ISA {

template <typename T, typename F>
void normRows(const T* x, const F* weight, Wide<T> epsilon, int64_t rows, int64_t width, T* y,
              Wide<T>* scales) {
  using W = Wide<T>;
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    W sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += widen(x[i]) * widen(x[i]);
    const W scale = 1 / std::sqrt(sum / static_cast<W>(width) + epsilon);
    scales[row] = scale;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const W normed = widen(x[i]) * scale;
      if constexpr (std::is_same_v<F, T>) {
        // Rounded between the two factors, as transformers does.
        y[i] = narrow<T>(widen(narrow<T>(normed)) * widen(weight[i]));
      } else {
        y[i] = narrow<T>(normed * weight[i]);
      }
    }
  }
}

template <typename T, typename F>
void normRowsBackward(const T* dy, const T* x, const F* weight, const Wide<T>* scales, int64_t rows,
                      int64_t width, T* dx, Wide<T>* dWeight) {
  using W = Wide<T>;
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const W scale = scales[row];
    W dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += widen(dy[i]) * widen(weight[i]) * widen(x[i]);
    const W pull = dot * scale * scale / static_cast<W>(width);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      dx[i] = narrow<T>(scale * (widen(dy[i]) * widen(weight[i]) - widen(x[i]) * pull));
    }
    if (dWeight == nullptr) continue;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) dWeight[i] += widen(dy[i]) * (widen(x[i]) * scale);
  }
}

/// x · σ(x).
struct Silu {
  template <typename W>
  static W inner(W x) {
    return x;
  }
  template <typename W>
  static W innerSlope(W) {
    return 1;
  }
};

/// x · σ(z) with z = 2 √(2/π) (x + 0.044715 x³), which is ½ x (1 + tanh(z / 2)).
struct TanhGelu {
  static constexpr double kScale = 1.5957691216057308;
  static constexpr double kCubic = 0.044715;

  template <typename W>
  static W inner(W x) {
    return static_cast<W>(kScale) * x * (1 + static_cast<W>(kCubic) * x * x);
  }
  template <typename W>
  static W innerSlope(W x) {
    return static_cast<W>(kScale) * (1 + static_cast<W>(3 * kCubic) * x * x);
  }
};

template <typename T, typename Activation>
void gatedUnit(const T* gate, const T* up, int64_t count, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const Wide<T> g = widen(gate[i]);
    y[i] = narrow<T>(g / (1 + exponential(-Activation::inner(g))) * widen(up[i]));
  }
}

template <typename T, typename Activation>
void gatedUnitBackward(const T* dy, const T* gate, const T* up, int64_t count, T* dGate, T* dUp) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const Wide<T> g = widen(gate[i]);
    const Wide<T> slope = widen(dy[i]);
    const Wide<T> sigmoid = 1 / (1 + exponential(-Activation::inner(g)));
    dUp[i] = narrow<T>(slope * g * sigmoid);
    dGate[i] =
        narrow<T>(slope * widen(up[i]) * sigmoid * (1 + g * Activation::innerSlope(g) * (1 - sigmoid)));
  }
}

template <typename T>
void rotateTokens(Heads<const T> x, const T* cos, const T* sin, int64_t tokens, int64_t heads,
                  int64_t headWidth, int64_t width, bool back, Heads<T> y) {
  const int64_t half = width / 2;
  for (int64_t token = 0; token < tokens; ++token, cos += width, sin += width) {
    // The transposed rotation swaps the two halves of the sines.
    const T* first = back ? sin + half : sin;
    const T* second = back ? sin : sin + half;
    for (int64_t head = 0; head < heads; ++head) {
      const T* from = x.at(token, head);
      T* to = y.at(token, head);
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const Wide<T> low = widen(from[i]);
        const Wide<T> high = widen(from[i + half]);
        to[i] = narrow<T>(low * widen(cos[i]) + high * widen(first[i]));
        to[i + half] = narrow<T>(high * widen(cos[i + half]) + low * widen(second[i]));
      }
      std::copy(from + width, from + headWidth, to + width);
    }
  }
}

template <typename T>
HeadRow<T> headRow(const T* logits, int64_t vocabulary, int64_t target) {
  using W = Wide<T>;
  W most = -std::numeric_limits<W>::infinity();
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < vocabulary; ++i) most = std::max(most, widen(logits[i]));
  W sum = 0;
  W weighted = 0;
  W squares = 0;
#pragma omp simd reduction(+ : sum, weighted, squares)
  for (int64_t i = 0; i < vocabulary; ++i) {
    const W below = widen(logits[i]) - most;
    const W mass = exponential(below);
    sum += mass;
    // A logit of −∞ has no mass and must not turn the product into NaN.
    weighted += mass > 0 ? mass * below : 0;
    squares += mass * mass;
  }
  const W logSum = std::log(sum);
  return {
      .logp = widen(logits[target]) - most - logSum,
      .logSum = most + logSum,
      .entropy = logSum - weighted / sum,
      .logSumSquares = std::log(squares) - 2 * logSum,
  };
}

template <typename T>
Wide<T> rowDivergence(const T* p, const T* q, int64_t vocabulary) {
  using W = Wide<T>;
  W most = -std::numeric_limits<W>::infinity();
  W mostOther = most;
#pragma omp simd reduction(max : most, mostOther)
  for (int64_t i = 0; i < vocabulary; ++i) {
    most = std::max(most, widen(p[i]));
    mostOther = std::max(mostOther, widen(q[i]));
  }
  W sum = 0;
  W sumOther = 0;
  W weighted = 0;
#pragma omp simd reduction(+ : sum, sumOther, weighted)
  for (int64_t i = 0; i < vocabulary; ++i) {
    const W below = widen(p[i]) - most;
    const W belowOther = widen(q[i]) - mostOther;
    const W mass = exponential(below);
    sum += mass;
    sumOther += exponential(belowOther);
    // What p never does counts nothing, also where q never does it either.
    weighted += mass > 0 ? mass * (below - belowOther) : 0;
  }
  return weighted / sum - std::log(sum) + std::log(sumOther);
}

template <typename T>
void headRowBackward(T* logits, int64_t vocabulary, int64_t target, Wide<T> logSum, Wide<T> seed) {
  using W = Wide<T>;
  const W own = exponential(widen(logits[target]) - logSum);
#pragma omp simd
  for (int64_t i = 0; i < vocabulary; ++i)
    logits[i] = narrow<T>(-seed * exponential(widen(logits[i]) - logSum));
  logits[target] = narrow<T>(seed * (1 - own));
}

/// Without a copy, the compiler drops the loop that would write it.
template <typename W>
inline void copyNarrow(const W* master, c10::BFloat16* copy, int64_t count) {
  if (copy == nullptr) return;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) copy[i] = narrow<c10::BFloat16>(static_cast<float>(master[i]));
}

/// Elements whose weights, gradients and moments fit the first cache together, so that the copy is made from
/// there.
constexpr int64_t kUpdateBlock = 1024;

template <typename T>
void adamw(Wide<T>* master, const T* gradient, Wide<T>* mean, Wide<T>* meanSquare, c10::BFloat16* copy,
           int64_t count, const AdamWStep<Wide<T>>& given) {
  using W = Wide<T>;
  const AdamWStep<W> step = given;  // a copy, which the arrays cannot alias
  const W keep = 1 - step.learningRate * step.weightDecay;
  const W size = step.learningRate / step.correction1;
  const W root = std::sqrt(step.correction2);
  for (int64_t first = 0; first < count; first += kUpdateBlock) {
    const int64_t end = std::min(count, first + kUpdateBlock);
#pragma omp simd
    for (int64_t i = first; i < end; ++i) {
      const W g = widen(gradient[i]) * step.gradientScale;
      mean[i] += (1 - step.beta1) * (g - mean[i]);
      meanSquare[i] = step.beta2 * meanSquare[i] + (1 - step.beta2) * g * g;
      master[i] = master[i] * keep - size * mean[i] / (std::sqrt(meanSquare[i]) / root + step.epsilon);
    }
    copyNarrow(master + first, copy == nullptr ? nullptr : copy + first, end - first);
  }
}

template <typename T>
void rmsprop(Wide<T>* master, const T* gradient, Wide<T>* meanSquare, c10::BFloat16* copy, int64_t count,
             const RmsPropStep<Wide<T>>& given) {
  using W = Wide<T>;
  const RmsPropStep<W> step = given;
  for (int64_t first = 0; first < count; first += kUpdateBlock) {
    const int64_t end = std::min(count, first + kUpdateBlock);
#pragma omp simd
    for (int64_t i = first; i < end; ++i) {
      const W g = widen(gradient[i]) * step.gradientScale + step.weightDecay * master[i];
      meanSquare[i] = step.alpha * meanSquare[i] + (1 - step.alpha) * g * g;
      master[i] -= step.learningRate * g / (std::sqrt(meanSquare[i]) + step.epsilon);
    }
    copyNarrow(master + first, copy == nullptr ? nullptr : copy + first, end - first);
  }
}

template <typename T>
double sumOfSquares(const T* x, int64_t count) {
  double total = 0;
  for (int64_t first = 0; first < count; first += kUpdateBlock) {
    const int64_t end = std::min(count, first + kUpdateBlock);
    Wide<T> sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = first; i < end; ++i) sum += widen(x[i]) * widen(x[i]);
    total += static_cast<double>(sum);
  }
  return total;
}

template <typename T>
constexpr Loops<T> table{
    .norm = {normRows<T, T>, normRowsBackward<T, T>},
    .wideNorm = {normRows<T, Wide<T>>, normRowsBackward<T, Wide<T>>},
    .siluGate = {gatedUnit<T, Silu>, gatedUnitBackward<T, Silu>},
    .geluGate = {gatedUnit<T, TanhGelu>, gatedUnitBackward<T, TanhGelu>},
    .rotateTokens = rotateTokens<T>,
    .attentionScratch = attentionScratch<T>,
    .attend = attend<T>,
    .attendBackward = attendBackward<T>,
    .attendCached = attendCached<T>,
    .headRow = headRow<T>,
    .rowDivergence = rowDivergence<T>,
    .adamw = adamw<T>,
    .rmsprop = rmsprop<T>,
    .sumOfSquares = sumOfSquares<T>,
    .headRowBackward = headRowBackward<T>,
};

extern const Loops<float> ofFloat;
extern const Loops<double> ofDouble;
extern const Loops<c10::BFloat16> ofBFloat16;
const Loops<float> ofFloat = table<float>;
const Loops<double> ofDouble = table<double>;
const Loops<c10::BFloat16> ofBFloat16 = table<c10::BFloat16>;

}  // namespace mallows::kernels::MALLOWS_ISA
