// The inner loops of the project's own CPU kernels. loops.cc is compiled once per instruction set, each in a
// namespace of its own; `loops<T>()` picks the widest that this processor has. They know nothing of tensors,
// threads or errors.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace mallows::kernels {

/// What sums and functions of a T are computed in.
template <typename T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
template <typename T>
using Wide = typename WideOf<T>::type;

/// Consecutive tokens of a packed row.
struct TokenRange {
  int64_t start;
  int64_t length;
};

/// One causal attention call over part of a row: the keys, concatenated in order, end at the position of the
/// last query.
struct Piece {
  TokenRange queries;
  const TokenRange* keys;
  int64_t keyRanges;
  int64_t keyLength;
};

/// A matrix of `[tokens, heads, width]` with a dense last dimension.
template <typename T>
struct Heads {
  T* data;
  int64_t tokenStride;
  int64_t headStride;

  T* at(int64_t token, int64_t head) const { return data + token * tokenStride + head * headStride; }
};

template <typename T>
struct Attention {
  Heads<const T> query;
  Heads<const T> key;
  Heads<const T> value;
  Heads<T> output;
  /// log Σ exp of the scaled scores, `[heads, tokens]`: all that the way back needs of the softmax.
  Wide<T>* logSums;
  int64_t tokens;
  /// Query heads that share a key head.
  int64_t group;
  int64_t width;
  /// How many keys a query sees at most; 0 for all.
  int64_t window;
  Wide<T> scale;
};

template <typename T>
struct AttentionSlopes {
  Heads<const T> output;
  Heads<T> query;
  Heads<T> key;
  Heads<T> value;
};

/// One new token of a sequence whose earlier keys and values are kept: all heads, one key head at a time.
template <typename T>
struct CachedAttention {
  const T* query;
  const T* key;
  const T* value;
  /// The sequence's own `[capacity, key heads, width]`.
  T* keys;
  T* values;
  T* output;
  /// Tokens kept so far; the new one goes behind them.
  int64_t length;
  int64_t keyHeads;
  int64_t group;
  int64_t width;
  int64_t window;
  Wide<T> scale;
};

/// Statistics of one row of logits, as the head reports them.
template <typename T>
struct HeadRow {
  Wide<T> logp;
  Wide<T> logSum;
  Wide<T> entropy;
  Wide<T> logSumSquares;
};

/// One AdamW update. Gradients are multiplied by `gradientScale` first.
template <typename W>
struct AdamWStep {
  W gradientScale;
  W learningRate;
  W beta1;
  W beta2;
  W epsilon;
  W weightDecay;
  /// 1 − βᵗ of both moments.
  W correction1;
  W correction2;
};

template <typename W>
struct RmsPropStep {
  W gradientScale;
  W learningRate;
  W alpha;
  W epsilon;
  W weightDecay;
};

/// A root-mean-square norm and its way back, for weights of the type F.
template <typename T, typename F>
struct NormRows {
  using W = Wide<T>;

  void (*forward)(const T* x, const F* weight, W epsilon, int64_t rows, int64_t width, T* y, W* scales);
  /// `dWeight`, summed over the rows, may be null.
  void (*backward)(const T* dy, const T* x, const F* weight, const W* scales, int64_t rows, int64_t width,
                   T* dx, W* dWeight);
};

/// An activation times the linear part, and its way back.
template <typename T>
struct GatedUnit {
  void (*forward)(const T* gate, const T* up, int64_t count, T* y);
  void (*backward)(const T* dy, const T* gate, const T* up, int64_t count, T* dGate, T* dUp);
};

template <typename T>
struct Loops {
  using W = Wide<T>;

  /// y = T(x · r) · weight with r = 1 / √(mean x² + epsilon), rows `[rows, width]`; keeps r for the way back.
  NormRows<T, T> norm;
  /// The same with a weight in W: y = T(x · r · weight), rounded once.
  NormRows<T, W> wideNorm;

  /// y = silu(gate) · up.
  GatedUnit<T> siluGate;
  /// y = gelu(gate) · up, by the tanh approximation.
  GatedUnit<T> geluGate;

  /// Rotates the leading `width` of `headWidth` dimensions of every head by its token's angle; `back` by
  /// minus it.
  void (*rotateTokens)(Heads<const T> x, const T* cos, const T* sin, int64_t tokens, int64_t heads,
                       int64_t headWidth, int64_t width, bool back, Heads<T> y);

  /// Scalars of W that one attention task needs as scratch memory.
  int64_t (*attentionScratch)(const Attention<T>& call, int64_t longestKeys, int64_t islandLength);
  /// All query heads of one key head over one piece.
  void (*attend)(const Attention<T>& call, const Piece& piece, int64_t keyHead, W* scratch);
  /// The way back for one key head over the pieces of an island, a stretch of the row that no piece's keys
  /// leave.
  void (*attendBackward)(const Attention<T>& call, const AttentionSlopes<T>& slopes, TokenRange island,
                         const Piece* pieces, int64_t pieceCount, int64_t keyHead, W* scratch);

  /// Keeps the new token's key and value and lets its queries attend; `scratch` holds `group · (length + 1 +
  /// width)`.
  void (*attendCached)(const CachedAttention<T>& call, int64_t keyHead, W* scratch);

  HeadRow<T> (*headRow)(const T* logits, int64_t vocabulary, int64_t target);
  /// KL(p ‖ q) of the distributions that two rows of logits are.
  W (*rowDivergence)(const T* p, const T* q, int64_t vocabulary);
  /// Updates wide weights and moments from gradients of T, and the bf16 copy that is computed with, if there
  /// is one.
  void (*adamw)(W* master, const T* gradient, W* mean, W* meanSquare, c10::BFloat16* copy, int64_t count,
                const AdamWStep<W>& step);
  void (*rmsprop)(W* master, const T* gradient, W* meanSquare, c10::BFloat16* copy, int64_t count,
                  const RmsPropStep<W>& step);
  double (*sumOfSquares)(const T* x, int64_t count);

  /// Replaces logits by the slope of seed · log p(target): seed · (onehot − p).
  void (*headRowBackward)(T* logits, int64_t vocabulary, int64_t target, W logSum, W seed);
};

/// For the widest instruction set that this processor has.
template <typename T>
const Loops<T>& loops();

}  // namespace mallows::kernels
