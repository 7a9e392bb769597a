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

/// Cache lines of a panel that one step of 32 reads, and those of the next panel that it brings: four blocks
/// of 32 rows bring all of it.
constexpr int kLinesOfStep = 2 * kTile;
constexpr int kLinesAtOnce = kLinesOfStep / 4;

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

/// C `[32, 32]`, or its upper half, = or += left tiles · panel.
template <bool kBoth>
void multiplyRows(const Half* left, int64_t steps, const Half* panel, float* c, bool accumulate,
                  const Half* next) {
  constexpr int64_t kRowBytes = kAtOnce * 2;
  constexpr int64_t kSumBytes = kPanelColumns * 4;
  const Half* below = left + steps * kTileElements;
  float* under = c + kTile * kPanelColumns;
  memoryBarrier();
  if (accumulate) {
    _tile_loadd(0, c, kSumBytes);
    _tile_loadd(1, c + kTile, kSumBytes);
    if (kBoth) _tile_loadd(2, under, kSumBytes);
    if (kBoth) _tile_loadd(3, under + kTile, kSumBytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if (kBoth) _tile_zero(2);
    if (kBoth) _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step) {
    const Half* a = left + step * kTileElements;
    const Half* b = panel + step * 2 * kTileElements;
    // What will be read after this block of rows comes into the cache meanwhile.
    if (next != nullptr) {
      constexpr int kLines = kBoth ? kLinesAtOnce : kLinesOfStep;
      const Half* line = next + step * kLines * kAtOnce;
      for (int i = 0; i < kLines; ++i) _mm_prefetch(line + i * kAtOnce, _MM_HINT_T1);
    }
    _tile_loadd(4, a, kRowBytes);
    _tile_loadd(6, b, kRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTileElements, kRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    if (kBoth) {
      _tile_loadd(5, below + step * kTileElements, kRowBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, kSumBytes);
  _tile_stored(1, c + kTile, kSumBytes);
  if (kBoth) _tile_stored(2, under, kSumBytes);
  if (kBoth) _tile_stored(3, under + kTile, kSumBytes);
  memoryBarrier();
}

void multiplyTiles(const Half* left, int64_t rows, int64_t steps, const Half* panel, float* c,
                   bool accumulate, const Half* next) {
  (rows > kTile ? multiplyRows<true> : multiplyRows<false>)(left, steps, panel, c, accumulate, next);
}

/// What of the next panel a block of rows, the `index`th, brings into the cache; nothing where others have
/// brought all.
const Half* partToBring(const Half* next, int64_t index, int64_t rows, int64_t steps) {
  if (next == nullptr) return nullptr;
  if (rows <= kTile) return index == 0 ? next : nullptr;
  return index * kLinesAtOnce < kLinesOfStep ? next + index * steps * kLinesAtOnce * kAtOnce : nullptr;
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
  const int64_t sums =
      product.inner <= kDepth ? kAtOnce * kPanelColumns : padded(rows) * panels * kPanelColumns;
  return leftSize(rows, product.inner) * 2 + sums * (product.gate == nullptr ? 4 : 8);
}

void multiply(const TileProduct& product, IndexRange rows, IndexRange panels, void* scratch) {
  const auto& [left, gate, right, bias, output, allRows, columns, inner] = product;
  auto* block = static_cast<Half*>(scratch);
  auto* sums = reinterpret_cast<float*>(block + leftSize(rows.end - rows.first, inner));
  const bool once = inner <= kDepth;
  // Sums of all panels are kept where the inner dimension is gone through in several stretches.
  const int64_t sumsOfPanel = once ? 0 : padded(rows.end - rows.first) * kPanelColumns;
  float* gateSums = sums + (once ? kAtOnce * kPanelColumns : (panels.end - panels.first) * sumsOfPanel);
  const Tiles tiles;
  for (int64_t at = 0; at < inner; at += kDepth) {
    const int64_t depth = std::min(kDepth, inner - at);
    const int64_t steps = padded(depth) / kAtOnce;
    const bool last = at + depth == inner;
    packLeft(product, rows, at, depth, block);
    for (int64_t panel = panels.first; panel < panels.end; ++panel) {
      const int64_t start = panel * panelSize(inner) + at * kPanelColumns;
      const bool more = panel + 1 < panels.end;
      for (int64_t row = rows.first; row < rows.end; row += kAtOnce) {
        const int64_t done = row - rows.first;
        const int64_t count = std::min(kAtOnce, rows.end - row);
        const Half* a = block + done / kTile * steps * kTileElements;
        const int64_t place = (panel - panels.first) * sumsOfPanel + (once ? 0 : done * kPanelColumns);
        const auto add = [&](const Half* factor, float* c) {
          const Half* from = factor + start;
          const Half* next = more ? from + panelSize(inner) : nullptr;
          multiplyTiles(a, count, steps, from, c, at > 0, partToBring(next, done / kAtOnce, count, steps));
        };
        add(right, sums + place);
        if (gate != nullptr) add(gate, gateSums + place);
        if (!last) continue;
        const int64_t column = panel * kPanelColumns;
        Half* to = output + row * columns + column;
        if (gate != nullptr) {
          storeGated(gateSums + place, sums + place, count, columns - column, to, columns);
        } else {
          storeSums(sums + place, count, columns - column, bias == nullptr ? nullptr : bias + column, to,
                    columns);
        }
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
