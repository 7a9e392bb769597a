// Attention of bf16 heads as products of blocks. Compiled once for each MALLOWS_BLOCKS, what multiplies a
// block: matrix tiles, or AVX-512 with its instructions for bf16; where the compiler lacks them, it changes
// nothing. Products take and give what the loops in attention_loops.h do, so only rounding differs:
// probabilities and slopes of scores are bf16 when they are multiplied, sums are fp32.
#include "blocks.h"

#if defined(__AVX512BF16__)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "query_blocks.h"
#if defined(__AMX_BF16__)
#include "tile_registers.h"
#else
#include "vector_registers.h"
#endif

namespace mallows::kernels {
namespace {

/// C `[rows, columns]` = A · B, or += it. A is `[rows, inner]`; B is `[inner / 2, columns, 2]`, each pair of
/// its rows interleaved. Strides count elements; all sizes are multiples of kAtOnce.
void product(int64_t rows, int64_t columns, int64_t inner, const Half* a, int64_t aStride, const Half* b,
             int64_t bStride, float* c, int64_t cStride, bool accumulate) {
  constexpr int64_t kSize = sizeof(Half);
  memoryBarrier();
  for (int64_t j = 0; j < columns; j += kAtOnce) {
    for (int64_t i = 0; i < rows; i += kTile) {
      multiplyInto(c + i * cStride + j, cStride, accumulate, inner / kAtOnce,
                   {a + i * aStride, aStride * kSize, kAtOnce * kSize},
                   {b + j * 2, bStride * kSize, kTile * bStride * kSize}, kAtOnce * kSize, [](int64_t) {});
    }
  }
  memoryBarrier();
}

/// X `[count, width]` → Xᵀ as the right factor of a product: `[width / 2, count, 2]`.
void pairColumns(const Half* x, int64_t count, int64_t width, Half* to) {
  for (int64_t i = 0; i < count; i += kTile) {
    for (int64_t k = 0; k < width; k += kAtOnce) {
      __m512i words[16];
      for (int r = 0; r < 16; ++r) words[r] = loadWords(x + (i + r) * width + k);
      transposeWords(words);
      for (int r = 0; r < 16; ++r) _mm512_storeu_si512(to + ((k / 2 + r) * count + i) * 2, words[r]);
    }
  }
}

/// X `[count, width]` → X as the right factor of a product: `[count / 2, width, 2]`.
void pairRows(const Half* x, int64_t count, int64_t width, Half* to) {
  for (int64_t i = 0; i < count; i += 2) {
    const Half* even = x + i * width;
    Half* out = to + i * width;
    for (int64_t k = 0; k < width; k += 32) {
      const auto [low, high] = interleave(loadWords(even + k), loadWords(even + width + k));
      _mm512_storeu_si512(out + 2 * k, low);
      _mm512_storeu_si512(out + 2 * k + 32, high);
    }
  }
}

/// The result of pairColumns → Xᵀ as the left factor of a product: `[width, count]`.
void splitPairs(const Half* pairs, int64_t count, int64_t width, Half* to) {
  for (int64_t k = 0; k < width; k += 2) {
    const Half* from = pairs + k * count;
    Half* even = to + k * count;
    for (int64_t i = 0; i < count; i += kTile) {
      const __m512i both = loadWords(from + 2 * i);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(even + i), _mm512_cvtepi32_epi16(both));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(even + count + i),
                          _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
    }
  }
}

/// Hands out consecutive stretches of a scratch buffer that is counted in floats.
struct Scratch {
  float* next;

  float* floats(int64_t count) {
    float* start = next;
    next += padded(count);
    return start;
  }
  Half* halves(int64_t count) { return reinterpret_cast<Half*>(floats((count + 1) / 2)); }
};

/// Rows `[padded keys, width]` of one head, in the order of the piece's keys; what pads them is 0.
void gatherKeys(Heads<const Half> from, const Piece& piece, int64_t head, int64_t width, Half* to) {
  for (int64_t range = 0; range < piece.keyRanges; ++range) {
    const auto [start, length] = piece.keys[range];
    for (int64_t token = start; token < start + length; ++token, to += width) {
      std::memcpy(to, from.at(token, head), width * sizeof(Half));
    }
  }
  std::memset(to, 0, (padded(piece.keyLength) - piece.keyLength) * width * sizeof(Half));
}

void gatherBlock(Heads<const Half> from, const QueryBlock& block, int64_t width, Half* to) {
  for (int64_t row = 0; row < block.rows(); ++row) {
    std::memcpy(to + row * width, from.at(block.token(row), block.head(row)), width * sizeof(Half));
  }
  std::memset(to + block.rows() * width, 0, (padded(block.rows()) - block.rows()) * width * sizeof(Half));
}

void scatterRow(const float* from, int64_t width, float factor, Half* to) {
  const __m512 times = _mm512_set1_ps(factor);
  for (int64_t k = 0; k < width; k += kTile) {
    storeHalves(to + k, narrow(_mm512_mul_ps(_mm512_loadu_ps(from + k), times)));
  }
}

/// Which of the sixteen keys from `at` are seen.
__mmask16 seen(const VisibleKeys& visible, int64_t at) {
  const auto below = [&](int64_t limit) {
    return limit <= at ? 0u : (limit >= at + kTile ? 0xffffu : (1u << (limit - at)) - 1u);
  };
  return static_cast<__mmask16>(below(visible.end) & ~below(visible.first));
}

/// Weights exp(scale · score − the largest) of a row, 0 where hidden.
struct SoftmaxRow {
  float logSum;
  /// 1 / the weights' sum.
  float share;
};

SoftmaxRow softmaxRow(const float* scores, VisibleKeys visible, int64_t columns, float scale, Half* weights) {
  __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (int64_t at = visible.first / kTile * kTile; at < visible.end; at += kTile) {
    most = _mm512_mask_max_ps(most, seen(visible, at), most, _mm512_loadu_ps(scores + at));
  }
  const float largest = _mm512_reduce_max_ps(most) * scale;
  const __m512 factor = _mm512_set1_ps(scale);
  const __m512 top = _mm512_set1_ps(largest);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t at = 0; at < columns; at += kTile) {
    const __mmask16 kept = seen(visible, at);
    if (kept == 0) {
      storeHalves(weights + at, _mm256_setzero_si256());
      continue;
    }
    const __m512 weight =
        _mm512_maskz_mov_ps(kept, exponential(_mm512_fmsub_ps(_mm512_loadu_ps(scores + at), factor, top)));
    sum = _mm512_add_ps(sum, weight);
    storeHalves(weights + at, narrow(weight));
  }
  const float total = _mm512_reduce_add_ps(sum);
  return {largest + std::log(total), 1 / total};
}

struct Sizes {
  int64_t rows;
  int64_t keys;
  int64_t width;
};

Sizes sizesOf(const Attention<Half>& call, int64_t keys) {
  return {padded(kQueriesAtOnce * call.group), padded(keys), call.width};
}

int64_t attentionScratch(const Attention<Half>& call, int64_t longestKeys, int64_t islandLength) {
  const auto [rows, keys, width] = sizesOf(call, longestKeys);
  // Of one piece: keys and values in four forms of bf16, their slopes; of one block: queries and output
  // slopes in three forms, query slopes, scores and their slopes in fp32, probabilities and slopes in three
  // forms; and the island's sums.
  return 2 * keys * width + 2 * keys * width + 3 * rows * width + rows * width + 2 * rows * keys +
         3 * rows * keys / 2 + 2 * padded(islandLength) * width + 32 * kAtOnce;
}

void attend(const Attention<Half>& call, const Piece& piece, int64_t keyHead, float* memory) {
  const Sizes sizes = sizesOf(call, piece.keyLength);
  const int64_t mostRows = sizes.rows;
  const int64_t keys = sizes.keys;
  const int64_t width = sizes.width;
  Scratch scratch{memory};
  Half* rows = scratch.halves(keys * width);
  Half* keyColumns = scratch.halves(keys * width);
  Half* valueRows = scratch.halves(keys * width);
  Half* queries = scratch.halves(mostRows * width);
  Half* weights = scratch.halves(mostRows * keys);
  float* scores = scratch.floats(mostRows * keys);
  float* mixed = scratch.floats(mostRows * width);
  float* shares = scratch.floats(mostRows);
  gatherKeys(call.key, piece, keyHead, width, rows);
  pairColumns(rows, keys, width, keyColumns);
  gatherKeys(call.value, piece, keyHead, width, rows);
  pairRows(rows, keys, width, valueRows);

  const Tiles tiles;
  forEachBlock(piece, keyHead, call.group, [&](const QueryBlock& block) {
    const int64_t columns = padded(block.reach());
    gatherBlock(call.query, block, width, queries);
    product(padded(block.rows()), columns, width, queries, width, keyColumns, 2 * keys, scores, keys, false);
    for (int64_t row = 0; row < block.rows(); ++row) {
      const auto [logSum, share] = softmaxRow(scores + row * keys, block.visible(row, call.window), columns,
                                              call.scale, weights + row * keys);
      call.logSums[block.head(row) * call.tokens + block.token(row)] = logSum;
      shares[row] = share;
    }
    product(padded(block.rows()), width, columns, weights, keys, valueRows, 2 * width, mixed, width, false);
    for (int64_t row = 0; row < block.rows(); ++row) {
      scatterRow(mixed + row * width, width, shares[row], call.output.at(block.token(row), block.head(row)));
    }
  });
}

/// Probabilities of a row and the slopes of its scores, sixteen keys at a time.
class SlopeRow {
 public:
  SlopeRow(const float* scores, const float* slopes, VisibleKeys visible, float logSum, float drift,
           float scale)
      : scores_(scores), slopes_(slopes), visible_(visible), logSum_(logSum), drift_(drift), scale_(scale) {}

  struct Part {
    __m256i probabilities;
    __m256i slopes;
  };

  Part at(int64_t key) const {
    const __mmask16 kept = seen(visible_, key);
    if (kept == 0) return {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const __m512 score =
        _mm512_fmsub_ps(_mm512_loadu_ps(scores_ + key), _mm512_set1_ps(scale_), _mm512_set1_ps(logSum_));
    const __m512 probability = _mm512_maskz_mov_ps(kept, exponential(score));
    const __m512 slope =
        _mm512_mul_ps(probability, _mm512_sub_ps(_mm512_loadu_ps(slopes_ + key), _mm512_set1_ps(drift_)));
    return {narrow(probability), narrow(slope)};
  }

 private:
  const float* scores_;
  const float* slopes_;
  VisibleKeys visible_;
  float logSum_;
  float drift_;
  float scale_;
};

void storePair(__m256i even, __m256i odd, Half* to) {
  _mm512_storeu_si512(
      to, _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16)));
}

float dot(const Half* a, const Half* b, int64_t width) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t k = 0; k < width; k += kTile) {
    sum = _mm512_fmadd_ps(widen(loadHalves(a + k)), widen(loadHalves(b + k)), sum);
  }
  return _mm512_reduce_add_ps(sum);
}

/// `sums [width, stride]` += `[width, keys]`, key ranges at their places in the island.
void addColumns(const float* from, int64_t keys, const Piece& piece, int64_t width, int64_t islandStart,
                int64_t stride, float* sums) {
  for (int64_t k = 0; k < width; ++k) {
    const float* row = from + k * keys;
    for (int64_t range = 0; range < piece.keyRanges; ++range) {
      const auto [start, length] = piece.keys[range];
      float* to = sums + k * stride + (start - islandStart);
      for (int64_t i = 0; i < length; ++i) to[i] += row[i];
      row += length;
    }
  }
}

/// `sums [width, stride]` → rows of tokens.
void scatterColumns(const float* sums, int64_t stride, TokenRange island, int64_t head, int64_t width,
                    float factor, Heads<Half> to) {
  const __m512 times = _mm512_set1_ps(factor);
  for (int64_t at = 0; at < island.length; at += kTile) {
    const int64_t count = std::min(kTile, island.length - at);
    for (int64_t k = 0; k < width; k += kTile) {
      __m512i block[16];
      for (int r = 0; r < 16; ++r) block[r] = loadWords(sums + (k + r) * stride + at);
      transposeWords(block);
      for (int64_t r = 0; r < count; ++r) {
        storeHalves(to.at(island.start + at + r, head) + k,
                    narrow(_mm512_mul_ps(_mm512_castsi512_ps(block[r]), times)));
      }
    }
  }
}

void attendBackward(const Attention<Half>& call, const AttentionSlopes<Half>& ways, TokenRange island,
                    const Piece* pieces, int64_t pieceCount, int64_t keyHead, float* memory) {
  const int64_t width = call.width;
  const int64_t stride = padded(island.length);
  Scratch whole{memory};
  float* keySums = whole.floats(stride * width);
  float* valueSums = whole.floats(stride * width);
  std::fill(keySums, keySums + stride * width, 0.0f);
  std::fill(valueSums, valueSums + stride * width, 0.0f);

  const Tiles tiles;
  for (int64_t at = 0; at < pieceCount; ++at) {
    const Piece& piece = pieces[at];
    const Sizes sizes = sizesOf(call, piece.keyLength);
    const int64_t mostRows = sizes.rows;
    const int64_t keys = sizes.keys;
    Scratch scratch = whole;
    Half* rows = scratch.halves(keys * width);
    Half* keyColumns = scratch.halves(keys * width);
    Half* keyRows = scratch.halves(keys * width);
    Half* valueColumns = scratch.halves(keys * width);
    // Transposed, `[width, keys]`: so the queries are the inner dimension, and what is stored is never
    // transposed.
    float* keySlopes = scratch.floats(keys * width);
    float* valueSlopes = scratch.floats(keys * width);
    Half* queries = scratch.halves(mostRows * width);
    Half* queryPairs = scratch.halves(mostRows * width);
    Half* queryColumns = scratch.halves(mostRows * width);
    Half* outputs = scratch.halves(mostRows * width);
    Half* outputPairs = scratch.halves(mostRows * width);
    Half* outputColumns = scratch.halves(mostRows * width);
    float* querySlopes = scratch.floats(mostRows * width);
    float* scores = scratch.floats(mostRows * keys);
    float* probabilitySlopes = scratch.floats(mostRows * keys);
    Half* probabilityPairs = scratch.halves(mostRows * keys);
    Half* slopePairs = scratch.halves(mostRows * keys);
    Half* slopeRows = scratch.halves(mostRows * keys);
    gatherKeys(call.value, piece, keyHead, width, rows);
    pairColumns(rows, keys, width, valueColumns);
    gatherKeys(call.key, piece, keyHead, width, rows);
    pairColumns(rows, keys, width, keyColumns);
    pairRows(rows, keys, width, keyRows);
    std::fill(keySlopes, keySlopes + keys * width, 0.0f);
    std::fill(valueSlopes, valueSlopes + keys * width, 0.0f);

    forEachBlock(piece, keyHead, call.group, [&](const QueryBlock& block) {
      const int64_t all = padded(block.rows());
      const int64_t columns = padded(block.reach());
      gatherBlock(call.query, block, width, queries);
      pairColumns(queries, all, width, queryPairs);
      splitPairs(queryPairs, all, width, queryColumns);
      gatherBlock(ways.output, block, width, outputs);
      pairColumns(outputs, all, width, outputPairs);
      splitPairs(outputPairs, all, width, outputColumns);
      product(all, columns, width, queries, width, keyColumns, 2 * keys, scores, keys, false);
      product(all, columns, width, outputs, width, valueColumns, 2 * keys, probabilitySlopes, keys, false);
      const auto slopeRow = [&](int64_t row) {
        // A row that only pads sees nothing.
        const bool real = row < block.rows();
        const int64_t token = real ? block.token(row) : 0;
        const int64_t head = real ? block.head(row) : 0;
        const float drift = real ? dot(call.output.at(token, head), outputs + row * width, width) : 0;
        return SlopeRow(scores + row * keys, probabilitySlopes + row * keys,
                        real ? block.visible(row, call.window) : VisibleKeys(-1, 0),
                        real ? call.logSums[head * call.tokens + token] : 0, drift, call.scale);
      };
      for (int64_t row = 0; row < all; row += 2) {
        const SlopeRow even = slopeRow(row);
        const SlopeRow odd = slopeRow(row + 1);
        for (int64_t key = 0; key < columns; key += kTile) {
          const auto [p0, s0] = even.at(key);
          const auto [p1, s1] = odd.at(key);
          storePair(p0, p1, probabilityPairs + row * keys + 2 * key);
          storePair(s0, s1, slopePairs + row * keys + 2 * key);
          storeHalves(slopeRows + row * keys + key, s0);
          storeHalves(slopeRows + (row + 1) * keys + key, s1);
        }
      }
      product(width, columns, all, outputColumns, all, probabilityPairs, 2 * keys, valueSlopes, keys, true);
      product(width, columns, all, queryColumns, all, slopePairs, 2 * keys, keySlopes, keys, true);
      product(all, width, columns, slopeRows, keys, keyRows, 2 * width, querySlopes, width, false);
      for (int64_t row = 0; row < block.rows(); ++row) {
        scatterRow(querySlopes + row * width, width, call.scale,
                   ways.query.at(block.token(row), block.head(row)));
      }
    });
    addColumns(keySlopes, keys, piece, width, island.start, stride, keySums);
    addColumns(valueSlopes, keys, piece, width, island.start, stride, valueSums);
  }
  scatterColumns(keySums, stride, island, keyHead, width, call.scale, ways.key);
  scatterColumns(valueSums, stride, island, keyHead, width, 1, ways.value);
}

/// What computes heads whose width is no multiple of 32.
Loops<Half> plain;

bool fits(const Attention<Half>& call) { return call.width % kAtOnce == 0; }

}  // namespace

const bool MALLOWS_BLOCKS::compiled = true;

Loops<Half> MALLOWS_BLOCKS::withAttention(const Loops<Half>& loops) {
  plain = loops;
  Loops<Half> blocked = loops;
  blocked.attentionScratch = [](const Attention<Half>& call, int64_t keys, int64_t island) {
    return fits(call) ? attentionScratch(call, keys, island) : plain.attentionScratch(call, keys, island);
  };
  blocked.attend = [](const Attention<Half>& call, const Piece& piece, int64_t keyHead, float* scratch) {
    (fits(call) ? attend : plain.attend)(call, piece, keyHead, scratch);
  };
  blocked.attendBackward = [](const Attention<Half>& call, const AttentionSlopes<Half>& slopes,
                              TokenRange island, const Piece* pieces, int64_t count, int64_t keyHead,
                              float* scratch) {
    (fits(call) ? attendBackward : plain.attendBackward)(call, slopes, island, pieces, count, keyHead,
                                                         scratch);
  };
  return blocked;
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

const bool MALLOWS_BLOCKS::compiled = false;

Loops<c10::BFloat16> MALLOWS_BLOCKS::withAttention(const Loops<c10::BFloat16>& loops) { return loops; }

}  // namespace mallows::kernels

#endif
