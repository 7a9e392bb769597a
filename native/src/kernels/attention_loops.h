// Exact attention of one key head over one piece, in blocks of queries, computed in W whatever the tensors
// hold. Included by loops.cc alone.
#pragma once

#include <algorithm>

#include "query_blocks.h"
#include "vectors.h"

namespace mallows::kernels::MALLOWS_ISA {

/// Hands out consecutive stretches of a scratch buffer.
template <typename W>
struct Scratch {
  W* next;

  W* take(int64_t count) {
    W* start = next;
    next += padded<W>(count);
    return start;
  }
};

template <typename W>
struct Sizes {
  int64_t rows;
  int64_t keys;
  int64_t width;
};

template <typename T>
Sizes<Wide<T>> sizesOf(const Attention<T>& call, int64_t keys) {
  using W = Wide<T>;
  return {kQueriesAtOnce * call.group, padded<W>(keys), padded<W>(call.width)};
}

template <typename T>
int64_t attentionScratch(const Attention<T>& call, int64_t longestKeys, int64_t islandLength) {
  const auto [rows, keys, width] = sizesOf(call, longestKeys);
  // Keys and values both ways, their slopes, the island's sums; queries, output slopes, query slopes; scores,
  // their slopes.
  return 6 * keys * width + 2 * islandLength * width + 3 * rows * width + 2 * rows * keys +
         16 * kColumns<Wide<T>>;
}

/// Rows `[keys, width]` of one head, in the order of the piece's keys; what pads them is 0.
template <typename T>
void gatherRows(Heads<const T> from, const Piece& piece, int64_t head, int64_t width, int64_t stride,
                Wide<T>* to) {
  for (int64_t range = 0; range < piece.keyRanges; ++range) {
    const auto [start, length] = piece.keys[range];
    for (int64_t token = start; token < start + length; ++token, to += stride) {
      const T* row = from.at(token, head);
      for (int64_t i = 0; i < width; ++i) to[i] = widen(row[i]);
      std::fill(to + width, to + stride, Wide<T>(0));
    }
  }
}

/// `[rows, columns]` → `[columns, stride]`; what pads the new rows is 0.
template <typename W>
void transpose(const W* from, int64_t rows, int64_t columns, int64_t fromStride, W* to, int64_t stride) {
  for (int64_t i = 0; i < columns; ++i) {
    for (int64_t j = 0; j < rows; ++j) to[i * stride + j] = from[j * fromStride + i];
    std::fill(to + i * stride + rows, to + (i + 1) * stride, W(0));
  }
}

/// `[rows, stride]` of the block's tokens and heads, times `factor`.
template <typename T>
void gatherBlock(Heads<const T> from, const QueryBlock& block, int64_t width, int64_t stride, Wide<T> factor,
                 Wide<T>* to) {
  for (int64_t row = 0; row < block.rows(); ++row, to += stride) {
    const T* values = from.at(block.token(row), block.head(row));
    for (int64_t k = 0; k < width; ++k) to[k] = widen(values[k]) * factor;
    std::fill(to + width, to + stride, Wide<T>(0));
  }
}

template <typename T>
void scatterRow(const Wide<T>* from, int64_t width, Wide<T> factor, T* to) {
  for (int64_t k = 0; k < width; ++k) to[k] = narrow<T>(from[k] * factor);
}

template <typename T>
void scatterBlock(const Wide<T>* from, const QueryBlock& block, int64_t width, int64_t stride, Wide<T> factor,
                  Heads<T> to) {
  for (int64_t row = 0; row < block.rows(); ++row) {
    scatterRow(from + row * stride, width, factor, to.at(block.token(row), block.head(row)));
  }
}

/// Scores → probabilities in place, 0 where hidden, up to `columns`; returns log Σ exp.
template <typename W>
W softmaxRow(W* scores, VisibleKeys visible, int64_t columns) {
  W most = -std::numeric_limits<W>::infinity();
#pragma omp simd reduction(max : most)
  for (int64_t i = visible.first; i < visible.end; ++i) most = std::max(most, scores[i]);
  W sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = visible.first; i < visible.end; ++i) {
    scores[i] = exponential(scores[i] - most);
    sum += scores[i];
  }
  const W share = 1 / sum;
#pragma omp simd
  for (int64_t i = visible.first; i < visible.end; ++i) scores[i] *= share;
  std::fill(scores, scores + visible.first, W(0));
  std::fill(scores + visible.end, scores + columns, W(0));
  return most + std::log(sum);
}

template <typename T>
void attend(const Attention<T>& call, const Piece& piece, int64_t keyHead, Wide<T>* memory) {
  using W = Wide<T>;
  const Sizes<W> sizes = sizesOf(call, piece.keyLength);
  const int64_t keys = sizes.keys;
  const int64_t width = sizes.width;
  Scratch<W> scratch{memory};
  W* rowsOfKeys = scratch.take(keys * width);
  W* columnsOfKeys = scratch.take(width * keys);
  W* queries = scratch.take(sizes.rows * width);
  W* scores = scratch.take(sizes.rows * keys);

  gatherRows<T>(call.key, piece, keyHead, call.width, width, rowsOfKeys);
  transpose(rowsOfKeys, piece.keyLength, width, width, columnsOfKeys, keys);
  W* values = rowsOfKeys;
  gatherRows<T>(call.value, piece, keyHead, call.width, width, values);

  forEachBlock(piece, keyHead, call.group, [&](const QueryBlock& block) {
    const int64_t columns = padded<W>(block.reach());
    gatherBlock<T>(call.query, block, call.width, width, call.scale, queries);
    product<Left::rows>(block.rows(), columns, call.width, queries, width, columnsOfKeys, keys, scores, keys,
                        false);
    for (int64_t row = 0; row < block.rows(); ++row) {
      call.logSums[block.head(row) * call.tokens + block.token(row)] =
          softmaxRow(scores + row * keys, block.visible(row, call.window), columns);
    }
    W* mixed = queries;
    product<Left::rows>(block.rows(), width, block.reach(), scores, keys, values, width, mixed, width, false);
    scatterBlock<T>(mixed, block, call.width, width, W(1), call.output);
  });
}

/// Probabilities from scores and log Σ exp, in place, 0 where hidden.
template <typename W>
void probabilityRow(W* scores, W logSum, VisibleKeys visible, int64_t columns) {
#pragma omp simd
  for (int64_t i = visible.first; i < visible.end; ++i) scores[i] = exponential(scores[i] - logSum);
  std::fill(scores, scores + visible.first, W(0));
  std::fill(scores + visible.end, scores + columns, W(0));
}

template <typename T>
void attendBackward(const Attention<T>& call, const AttentionSlopes<T>& slopes, TokenRange island,
                    const Piece* pieces, int64_t pieceCount, int64_t keyHead, Wide<T>* memory) {
  using W = Wide<T>;
  const int64_t width = padded<W>(call.width);
  Scratch<W> whole{memory};
  W* keySums = whole.take(island.length * width);
  W* valueSums = whole.take(island.length * width);
  std::fill(keySums, keySums + island.length * width, W(0));
  std::fill(valueSums, valueSums + island.length * width, W(0));

  for (int64_t at = 0; at < pieceCount; ++at) {
    const Piece& piece = pieces[at];
    const Sizes<W> sizes = sizesOf(call, piece.keyLength);
    const int64_t rows = sizes.rows;
    const int64_t keys = sizes.keys;
    Scratch<W> scratch = whole;
    W* rowsOfKeys = scratch.take(keys * width);
    W* columnsOfKeys = scratch.take(width * keys);
    W* rowsOfValues = scratch.take(keys * width);
    W* columnsOfValues = scratch.take(width * keys);
    W* queries = scratch.take(rows * width);
    W* outputSlopes = scratch.take(rows * width);
    W* querySlopes = scratch.take(rows * width);
    W* scores = scratch.take(rows * keys);
    W* scoreSlopes = scratch.take(rows * keys);
    gatherRows<T>(call.key, piece, keyHead, call.width, width, rowsOfKeys);
    transpose(rowsOfKeys, piece.keyLength, width, width, columnsOfKeys, keys);
    gatherRows<T>(call.value, piece, keyHead, call.width, width, rowsOfValues);
    transpose(rowsOfValues, piece.keyLength, width, width, columnsOfValues, keys);
    // From here on the values' rows hold their slopes; the keys' own rows are still read.
    W* valueSlopes = rowsOfValues;
    W* keySlopes = scratch.take(keys * width);
    std::fill(valueSlopes, valueSlopes + keys * width, W(0));
    std::fill(keySlopes, keySlopes + keys * width, W(0));

    forEachBlock(piece, keyHead, call.group, [&](const QueryBlock& block) {
      const int64_t all = block.rows();
      const int64_t columns = padded<W>(block.reach());
      gatherBlock<T>(call.query, block, call.width, width, call.scale, queries);
      gatherBlock<T>(slopes.output, block, call.width, width, W(1), outputSlopes);
      product<Left::rows>(all, columns, call.width, queries, width, columnsOfKeys, keys, scores, keys, false);
      product<Left::rows>(all, columns, call.width, outputSlopes, width, columnsOfValues, keys, scoreSlopes,
                          keys, false);
      for (int64_t row = 0; row < all; ++row) {
        const int64_t token = block.token(row);
        const int64_t head = block.head(row);
        W* probabilities = scores + row * keys;
        W* slope = scoreSlopes + row * keys;
        probabilityRow(probabilities, call.logSums[head * call.tokens + token],
                       block.visible(row, call.window), columns);
        const T* output = call.output.at(token, head);
        const W* outputSlope = outputSlopes + row * width;
        W drift = 0;
        for (int64_t k = 0; k < call.width; ++k) drift += widen(output[k]) * outputSlope[k];
#pragma omp simd
        for (int64_t i = 0; i < columns; ++i) slope[i] = probabilities[i] * (slope[i] - drift);
      }
      product<Left::columns>(block.reach(), width, all, scores, keys, outputSlopes, width, valueSlopes, width,
                             true);
      product<Left::columns>(block.reach(), width, all, scoreSlopes, keys, queries, width, keySlopes, width,
                             true);
      product<Left::rows>(all, width, block.reach(), scoreSlopes, keys, rowsOfKeys, width, querySlopes, width,
                          false);
      scatterBlock<T>(querySlopes, block, call.width, width, call.scale, slopes.query);
    });

    int64_t offset = 0;
    for (int64_t range = 0; range < piece.keyRanges; ++range) {
      const auto [start, length] = piece.keys[range];
      W* keySum = keySums + (start - island.start) * width;
      W* valueSum = valueSums + (start - island.start) * width;
      for (int64_t i = 0; i < length * width; ++i) keySum[i] += keySlopes[offset * width + i];
      for (int64_t i = 0; i < length * width; ++i) valueSum[i] += valueSlopes[offset * width + i];
      offset += length;
    }
  }

  for (int64_t i = 0; i < island.length; ++i) {
    scatterRow(keySums + i * width, call.width, W(1), slopes.key.at(island.start + i, keyHead));
    scatterRow(valueSums + i * width, call.width, W(1), slopes.value.at(island.start + i, keyHead));
  }
}

template <typename T>
void attendCached(const CachedAttention<T>& call, int64_t keyHead, Wide<T>* scratch) {
  using W = Wide<T>;
  const int64_t width = call.width;
  const int64_t stride = call.keyHeads * width;
  const int64_t own = keyHead * width;
  const int64_t scored = call.length + 1;
  std::copy(call.key + own, call.key + own + width, call.keys + call.length * stride + own);
  std::copy(call.value + own, call.value + own + width, call.values + call.length * stride + own);

  const VisibleKeys visible(call.length, call.window);
  const T* queries = call.query + keyHead * call.group * width;
  W* scores = scratch;
  for (int64_t at = visible.first; at < visible.end; ++at) {
    const T* row = call.keys + at * stride + own;
    for (int64_t head = 0; head < call.group; ++head) {
      const T* query = queries + head * width;
      W sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < width; ++i) sum += widen(query[i]) * widen(row[i]);
      scores[head * scored + at] = sum * call.scale;
    }
  }
  for (int64_t head = 0; head < call.group; ++head) softmaxRow(scores + head * scored, visible, scored);
  W* mixed = scratch + call.group * scored;
  std::fill(mixed, mixed + call.group * width, W(0));
  for (int64_t at = visible.first; at < visible.end; ++at) {
    const T* row = call.values + at * stride + own;
    for (int64_t head = 0; head < call.group; ++head) {
      const W share = scores[head * scored + at];
      W* to = mixed + head * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) to[i] += share * widen(row[i]);
    }
  }
  T* output = call.output + keyHead * call.group * width;
  for (int64_t i = 0; i < call.group * width; ++i) output[i] = narrow<T>(mixed[i]);
}

}  // namespace mallows::kernels::MALLOWS_ISA
