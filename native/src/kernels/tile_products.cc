// Products of bf16 matrices. The right factor is laid out once in panels of 32 columns that tiles read from
// end to end; of the left one a block of rows is laid out so, in a scratch buffer that stays in the cache.
#include "tiles.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)

#include <algorithm>

#include "tile_registers.h"

namespace mallows::kernels {
namespace {

constexpr int64_t kTileElements = kTile * kAtOnce;

/// Inner dimension that is gone through at once: a block of the left factor stays in the second-level cache.
constexpr int64_t kDepth = 2048;

/// Steps of 32 of the inner dimension for which a panel is gone through by all rows of a block: 24 KiB of it
/// stay in the first-level cache meanwhile.
constexpr int64_t kSteps = 12;

constexpr int64_t kTileSums = kTile * kPanelColumns;

/// Cache lines of a panel that one step of 32 reads, and those of the next panel that it brings: the first
/// eight tiles of rows bring all of it.
constexpr int64_t kLinesOfStep = 2 * kTile;
constexpr int64_t kLinesAtOnce = kLinesOfStep / 8;

/// The first `count` of a row of 32.
__mmask32 firstHalves(int64_t count) {
  return count >= kAtOnce ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(0, count)) - 1;
}

/// Up to 32 numbers, 0 beyond; nothing beyond is touched.
__m512i loadFirst(const Half* from, int64_t count) {
  return count >= kAtOnce ? loadWords(from) : _mm512_maskz_loadu_epi16(firstHalves(count), from);
}

/// Row r of a matrix by rows, from column `at`: up to 32 numbers.
__m512i rowPart(const Half* data, int64_t stride, int64_t row, int64_t rows, int64_t at, int64_t columns) {
  return row < rows ? loadFirst(data + row * stride + at, columns - at) : _mm512_setzero_si512();
}

/// 32 rows from `row` and 32 columns from `at`, pairs of rows interleaved: two tiles' worth of sixteen
/// columns.
void interleaveRows(const Half* data, int64_t stride, int64_t row, int64_t rows, int64_t at, int64_t columns,
                    __m512i (&low)[16], __m512i (&high)[16]) {
  for (int pair = 0; pair < 16; ++pair) {
    const auto halves = interleave(rowPart(data, stride, row + 2 * pair, rows, at, columns),
                                   rowPart(data, stride, row + 2 * pair + 1, rows, at, columns));
    low[pair] = halves.low;
    high[pair] = halves.high;
  }
}

void storeTile(const __m512i (&words)[16], Half* to) {
  for (int r = 0; r < 16; ++r) _mm512_store_si512(to + r * kAtOnce, words[r]);
}

/// Lays `rows` of the left factor out, `depth` columns from `at`: `[padded rows / 16, padded depth / 32]`
/// tiles.
void packLeft(const TileProduct& product, IndexRange rows, int64_t at, int64_t depth, Half* to) {
  const auto& [data, stride, transposed] = product.left;
  const int64_t steps = padded(depth) / kAtOnce;
  const int64_t limit = at + depth;
  __m512i low[16];
  __m512i high[16];
  for (int64_t row = rows.first; row < rows.end; row += kAtOnce) {
    Half* first = to + (row - rows.first) / kTile * steps * kTileElements;
    Half* second = first + steps * kTileElements;
    for (int64_t step = 0; step < steps; ++step, first += kTileElements, second += kTileElements) {
      const int64_t column = at + step * kAtOnce;
      if (transposed) {
        interleaveRows(data, stride, column, limit, row, rows.end, low, high);
        transposeWords(low);
        transposeWords(high);
      } else {
        for (int r = 0; r < 16; ++r) {
          low[r] = rowPart(data, stride, row + r, rows.end, column, limit);
          high[r] = rowPart(data, stride, row + kTile + r, rows.end, column, limit);
        }
      }
      storeTile(low, first);
      if (row + kTile < rows.end) storeTile(high, second);
    }
  }
}

/// C `[16, 32]` = or += left tiles · panel. What `next` points at, which will be read after this block of
/// rows, comes into the cache meanwhile.
void multiplyTiles(const Half* left, int64_t steps, const Half* panel, float* c, bool accumulate,
                   const Half* next) {
  const auto bringNext = [next](int64_t step) {
    if (next == nullptr) return;
    const Half* line = next + step * kLinesAtOnce * kAtOnce;
    for (int i = 0; i < kLinesAtOnce; ++i) _mm_prefetch(line + i * kAtOnce, _MM_HINT_T1);
  };
  memoryBarrier();
  multiplyInto(c, kPanelColumns, accumulate, steps, {left, kAtOnce, kTileElements},
               {panel, kAtOnce, 2 * kTileElements}, kTileElements, bringNext);
  memoryBarrier();
}

/// Rounds sums `[rows, 32]` into the output's corner.
void storeSums(const float* sums, int64_t rows, int64_t columns, const Half* bias, Half* to, int64_t stride) {
  const __mmask32 kept = firstHalves(columns);
  const __m512i offsets = bias == nullptr ? _mm512_setzero_si512() : loadFirst(bias, columns);
  const __m512 low = widen(_mm512_castsi512_si256(offsets));
  const __m512 high = widen(_mm512_extracti64x4_epi64(offsets, 1));
  for (int64_t row = 0; row < rows; ++row, sums += kPanelColumns, to += stride) {
    const __m512 a = _mm512_add_ps(_mm512_load_ps(sums), low);
    const __m512 b = _mm512_add_ps(_mm512_load_ps(sums + kTile), high);
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    _mm512_mask_storeu_epi16(to, kept, both);
  }
}

/// Rounds silu(gates) · values, both rounded first as they are where each is computed by itself.
void storeGated(const float* gates, const float* values, int64_t rows, int64_t columns, Half* to,
                int64_t stride) {
  const __m512 one = _mm512_set1_ps(1);
  const auto gated = [&](int64_t at) {
    const __m512 gate = widen(narrow(_mm512_load_ps(gates + at)));
    const __m512 value = widen(narrow(_mm512_load_ps(values + at)));
    const __m512 below = _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), gate)));
    return _mm512_mul_ps(value, _mm512_div_ps(gate, below));
  };
  const __mmask32 kept = firstHalves(columns);
  for (int64_t row = 0; row < rows; ++row, to += stride) {
    const __m512 low = gated(row * kPanelColumns);
    const __m512 high = gated(row * kPanelColumns + kTile);
    _mm512_mask_storeu_epi16(to, kept, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
}

int64_t leftSize(int64_t rows, int64_t inner) { return padded(rows) * padded(std::min(inner, kDepth)); }

}  // namespace

int64_t panelSize(int64_t inner) { return padded(inner) * kPanelColumns; }

void packPanel(const Matrix& right, int64_t inner, int64_t columns, int64_t panel, Half* to) {
  const int64_t column = panel * kPanelColumns;
  __m512i low[16];
  __m512i high[16];
  for (int64_t at = 0; at < inner; at += kAtOnce, to += 2 * kTileElements) {
    if (right.transposed) {
      for (int r = 0; r < 16; ++r) {
        low[r] = rowPart(right.data, right.stride, column + r, columns, at, inner);
        high[r] = rowPart(right.data, right.stride, column + kTile + r, columns, at, inner);
      }
      transposeWords(low);
      transposeWords(high);
    } else {
      interleaveRows(right.data, right.stride, at, inner, column, columns, low, high);
    }
    storeTile(low, to);
    storeTile(high, to + kTileElements);
  }
}

int64_t productScratch(const TileProduct& product, int64_t rows, int64_t panels) {
  const int64_t tiles = (rows + kTile - 1) / kTile;
  const int64_t sums = tiles * kTileSums * (product.inner <= kDepth ? 1 : panels);
  return leftSize(rows, product.inner) * 2 + sums * (product.gate == nullptr ? 4 : 8);
}

void multiply(const TileProduct& product, IndexRange rows, IndexRange panels, void* scratch) {
  const auto& [left, gate, right, bias, output, columns, inner] = product;
  auto* block = static_cast<Half*>(scratch);
  auto* sums = reinterpret_cast<float*>(block + leftSize(rows.end - rows.first, inner));
  const int64_t count = rows.end - rows.first;
  const int64_t tiles = (count + kTile - 1) / kTile;
  // Sums of all panels are kept where the inner dimension is gone through in several stretches.
  const int64_t sumsOfPanel = inner <= kDepth ? 0 : tiles * kTileSums;
  float* gateSums = sums + std::max(tiles * kTileSums, (panels.end - panels.first) * sumsOfPanel);
  const Tiles configured;
  for (int64_t at = 0; at < inner; at += kDepth) {
    const int64_t depth = std::min(kDepth, inner - at);
    const int64_t steps = padded(depth) / kAtOnce;
    const bool last = at + depth == inner;
    packLeft(product, rows, at, depth, block);
    const int64_t pieces = (steps + kSteps - 1) / kSteps;
    for (int64_t panel = panels.first; panel < panels.end; ++panel) {
      const int64_t start = panel * panelSize(inner) + at * kPanelColumns;
      const int64_t place = (panel - panels.first) * sumsOfPanel;
      const bool more = panel + 1 < panels.end;
      for (int64_t piece = 0; piece < pieces; ++piece) {
        const int64_t first = steps * piece / pieces;
        const int64_t length = steps * (piece + 1) / pieces - first;
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const Half* a = block + (tile * steps + first) * kTileElements;
          const auto add = [&](const Half* factor, float* c) {
            const Half* from = factor + start + first * 2 * kTileElements;
            const bool brings = more && tile * kLinesAtOnce < kLinesOfStep;
            const Half* next =
                brings ? from + panelSize(inner) + tile * kLinesAtOnce * length * kAtOnce : nullptr;
            multiplyTiles(a, length, from, c + place + tile * kTileSums, at + piece > 0, next);
          };
          add(right, sums);
          if (gate != nullptr) add(gate, gateSums);
        }
      }
      if (!last) continue;
      const int64_t column = panel * kPanelColumns;
      Half* to = output + rows.first * columns + column;
      if (gate != nullptr) {
        storeGated(gateSums + place, sums + place, count, columns - column, to, columns);
      } else {
        storeSums(sums + place, count, columns - column, bias == nullptr ? nullptr : bias + column, to,
                  columns);
      }
    }
  }
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

int64_t panelSize(int64_t) { return 0; }
void packPanel(const Matrix&, int64_t, int64_t, int64_t, c10::BFloat16*) {}
int64_t productScratch(const TileProduct&, int64_t, int64_t) { return 0; }
void multiply(const TileProduct&, IndexRange, IndexRange, void*) {}

}  // namespace mallows::kernels

#endif
