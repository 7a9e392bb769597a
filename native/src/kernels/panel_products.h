// Products in panels, whatever it is that multiplies sixteen rows by a panel of 32 columns. The right factor
// is laid out once in panels that are read from end to end; of the left one a block of rows is laid out so,
// in a scratch buffer that stays in the cache. Only for files that are compiled with AVX-512 and its
// instructions for bf16.
#pragma once

#include <algorithm>
#include <type_traits>

#include "avx512.h"
#include "products.h"

namespace mallows::kernels {
namespace {

/// Sixteen rows of sixteen words. A word is an fp32 number, or two bf16 numbers that follow each other along
/// the inner dimension. A left factor's rows are its own, a right factor's are words along the inner
/// dimension.
struct alignas(64) Words {
  uint32_t rows[kTile][kTile];
};

/// Elements of a row of words: the stretch of the inner dimension that two tiles of a panel hold.
template <typename Packed>
constexpr int64_t kStep = static_cast<int64_t>(sizeof(Words::rows[0]) / sizeof(Packed));

template <typename Packed>
constexpr int64_t stepsOf(int64_t inner) {
  return (inner + kStep<Packed> - 1) / kStep<Packed>;
}

/// Steps that are gone through at once: a block of the left factor stays in the second-level cache.
constexpr int64_t kStepsAtOnce = 64;

constexpr int64_t kTileSums = kTile * kPanelColumns;

/// Cache lines of a panel that one step reads, and those of the next panel that it brings: the first eight
/// tiles of rows bring all of it.
constexpr int64_t kLinesOfStep = 2 * kTile;
constexpr int64_t kLinesAtOnce = kLinesOfStep / 8;

/// The first `count` of a row of 32.
inline __mmask32 firstOf32(int64_t count) {
  return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << std::max<int64_t>(0, count)) - 1;
}

/// 32 numbers as fp32.
struct Numbers {
  __m512 low;
  __m512 high;
};

inline Numbers loadNumbers(const float* from, __mmask32 kept) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(kept), from),
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(kept >> 16), from + 16)};
}

inline Numbers loadNumbers(const Half* from, __mmask32 kept) {
  const __m512i halves = _mm512_maskz_loadu_epi16(kept, from);
  return {widen(_mm512_castsi512_si256(halves)), widen(_mm512_extracti64x4_epi64(halves, 1))};
}

inline void storeNumbers(const Numbers& x, __mmask32 kept, float* to) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>(kept), x.low);
  _mm512_mask_storeu_ps(to + 16, static_cast<__mmask16>(kept >> 16), x.high);
}

inline void storeNumbers(const Numbers& x, __mmask32 kept, Half* to) {
  _mm512_mask_storeu_epi16(to, kept, (__m512i)_mm512_cvtne2ps_pbh(x.high, x.low));
}

/// As numbers that were stored as T and read again.
template <typename T>
__m512 rounded(__m512 x) {
  if constexpr (std::is_same_v<T, Half>) return widen(narrow(x));
  return x;
}

/// A matrix whose elements are read as T, and as Packed from then on.
template <typename T, typename Packed>
struct Source {
  const T* data;
  int64_t stride;
  bool transposed;

  explicit Source(const Matrix& matrix)
      : data(static_cast<const T*>(matrix.data)), stride(matrix.stride), transposed(matrix.transposed) {}

  /// Up to a row of words from column `at` of a row; 0 beyond, and nothing beyond is touched.
  __m512i row(int64_t row, int64_t rows, int64_t at, int64_t columns) const {
    if (row >= rows) return _mm512_setzero_si512();
    const T* from = data + row * stride + at;
    // Many rows are read at once, more than the processor foresees by itself.
    _mm_prefetch(reinterpret_cast<const char*>(from) + 256, _MM_HINT_T0);
    const __mmask32 kept = firstOf32(columns - at);
    if constexpr (std::is_same_v<T, Half>) {
      return _mm512_maskz_loadu_epi16(kept, from);
    } else if constexpr (std::is_same_v<Packed, Half>) {
      const Numbers numbers = loadNumbers(from, kept);
      return (__m512i)_mm512_cvtne2ps_pbh(numbers.high, numbers.low);
    } else {
      return _mm512_maskz_loadu_epi32(static_cast<__mmask16>(kept), from);
    }
  }

  /// Where the tiles of sixteen rows lie from some step on, if the rows do.
  TilePlaces tiles(int64_t row, int64_t step) const {
    return {data + row * stride + step * kStep<Packed>, stride * static_cast<int64_t>(sizeof(T)),
            sizeof(Words::rows[0])};
  }

  /// Rows as they lie: sixteen from `first`, and the sixteen after them.
  void along(int64_t first, int64_t rows, int64_t at, int64_t columns, __m512i (&low)[16],
             __m512i (&high)[16]) const {
    for (int r = 0; r < 16; ++r) {
      low[r] = row(first + r, rows, at, columns);
      high[r] = row(first + kTile + r, rows, at, columns);
    }
  }

  /// A step of rows from `first`, their words going down: sixteen columns from `at`, and the sixteen after
  /// them.
  void across(int64_t first, int64_t rows, int64_t at, int64_t columns, __m512i (&low)[16],
              __m512i (&high)[16]) const {
    for (int r = 0; r < 16; ++r) {
      if constexpr (std::is_same_v<Packed, Half>) {
        const auto halves =
            interleave(row(first + 2 * r, rows, at, columns), row(first + 2 * r + 1, rows, at, columns));
        low[r] = halves.low;
        high[r] = halves.high;
      } else {
        low[r] = row(first + r, rows, at, columns);
        high[r] = row(first + r, rows, at + kTile, columns);
      }
    }
  }
};

inline void storeWords(const __m512i (&words)[16], Words* to) {
  for (int r = 0; r < 16; ++r) _mm512_store_si512(to->rows[r], words[r]);
}

/// The left tiles and the panel that are multiplied, and where their sums `[16, 32]` go.
struct Block {
  TilePlaces left;
  const Words* panel;
  int64_t steps;
  /// Words of one more step, where the left factor ends before that does.
  int64_t rest;
  /// Rows that are wanted.
  int64_t rows;
  /// Whether the words of a row of the left factor go down its tiles instead of along them.
  bool leftAcross;
  float* sums;
  bool accumulate;
  /// What will be read after this block of rows, and comes into the cache meanwhile.
  const Words* next;

  void bringNext(int64_t step) const {
    if (next == nullptr) return;
    const auto* line = reinterpret_cast<const char*>(next) + step * kLinesAtOnce * 64;
    for (int i = 0; i < kLinesAtOnce; ++i) _mm_prefetch(line + i * 64, _MM_HINT_T1);
  }
};

/// Products of matrices of T, packed as Packed. An `Arithmetic` lives while a thread multiplies and has
///
///   multiply(const Block&)
///   kName               for people
///   isLeftAcross(left)  whether the words of the left factor's rows go down its tiles
///   kReadsRowsInPlace   whether full tiles of a left factor's rows are taken from where they lie
///   kStepsOfPiece       steps of a panel that all rows of a block go through before the next
template <typename T, typename Packed, typename Arithmetic>
struct PanelProducts {
  static int64_t panelTiles(int64_t inner) { return 2 * stepsOf<Packed>(inner); }

  static int64_t panelSize(int64_t inner) {
    return panelTiles(inner) * static_cast<int64_t>(sizeof(Words) / sizeof(Packed));
  }

  static void packPanel(const Matrix& right, int64_t inner, int64_t columns, int64_t panel, void* to) {
    const Source<T, Packed> source(right);
    const int64_t column = panel * kPanelColumns;
    auto* tile = static_cast<Words*>(to);
    __m512i low[16];
    __m512i high[16];
    for (int64_t at = 0; at < inner; at += kStep<Packed>, tile += 2) {
      if (source.transposed) {
        source.along(column, columns, at, inner, low, high);
        transposeWords(low);
        transposeWords(high);
      } else {
        source.across(at, inner, column, columns, low, high);
      }
      storeWords(low, tile);
      storeWords(high, tile + 1);
    }
  }

  static int64_t scratch(const Product& product, int64_t rows, int64_t panels) {
    const int64_t steps = stepsOf<Packed>(product.inner);
    const int64_t sums = (rows + kTile - 1) / kTile * kTileSums * (steps <= kStepsAtOnce ? 1 : panels);
    return leftTiles(isInPlace(product) ? kTile : rows, steps) * static_cast<int64_t>(sizeof(Words)) +
           sums * (product.gate == nullptr ? 4 : 8);
  }

  static void multiply(const Product& product, IndexRange rows, IndexRange panels, void* scratch) {
    const auto* right = static_cast<const Words*>(product.panels);
    const auto* gate = static_cast<const Words*>(product.gate);
    const int64_t count = rows.end - rows.first;
    const int64_t tiles = (count + kTile - 1) / kTile;
    const int64_t tilesInPlace = isInPlace(product) ? count / kTile : 0;
    const IndexRange packedRows{rows.first + tilesInPlace * kTile, rows.end};
    const int64_t allSteps = stepsOf<Packed>(product.inner);
    auto* block = static_cast<Words*>(scratch);
    auto* sums = reinterpret_cast<float*>(block + leftTiles(packedRows.end - packedRows.first, allSteps));
    // Sums of all panels are kept where the inner dimension is gone through in several stretches.
    const int64_t sumsOfPanel = allSteps <= kStepsAtOnce ? 0 : tiles * kTileSums;
    float* gateSums = sums + std::max(tiles * kTileSums, (panels.end - panels.first) * sumsOfPanel);
    const Source<T, Packed> source(product.left);
    const Arithmetic arithmetic;
    for (int64_t at = 0; at < allSteps; at += kStepsAtOnce) {
      const int64_t steps = std::min(kStepsAtOnce, allSteps - at);
      const bool last = at + steps == allSteps;
      packLeft(product, packedRows, at, steps, block);
      const int64_t pieces = (steps + Arithmetic::kStepsOfPiece - 1) / Arithmetic::kStepsOfPiece;
      for (int64_t panel = panels.first; panel < panels.end; ++panel) {
        const int64_t start = (panel - product.firstPanel) * panelTiles(product.inner) + 2 * at;
        const int64_t place = (panel - panels.first) * sumsOfPanel;
        const bool more = panel + 1 < panels.end;
        for (int64_t piece = 0; piece < pieces; ++piece) {
          const int64_t first = steps * piece / pieces;
          const int64_t length = steps * (piece + 1) / pieces - first;
          // What of them the left factor's own rows have; packed ones end in zeros.
          const int64_t words = std::min(length * kTile, wordsFrom(product.inner, at + first));
          for (int64_t tile = 0; tile < tiles; ++tile) {
            const bool brings = more && tile * kLinesAtOnce < kLinesOfStep;
            const bool inPlace = tile < tilesInPlace;
            const auto add = [&](const Words* factor, float* to) {
              const Words* from = factor + start + 2 * first;
              arithmetic.multiply({
                  .left = inPlace ? source.tiles(rows.first + tile * kTile, at + first)
                                  : TilePlaces(block + (tile - tilesInPlace) * steps + first,
                                               sizeof(Words::rows[0]), sizeof(Words)),
                  .panel = from,
                  .steps = inPlace ? words / kTile : length,
                  .rest = inPlace ? words % kTile : 0,
                  .rows = std::min(kTile, count - tile * kTile),
                  .leftAcross = Arithmetic::isLeftAcross(product.left),
                  .sums = to + place + tile * kTileSums,
                  .accumulate = at + piece > 0,
                  .next = brings ? nextPart(from + panelTiles(product.inner), tile, length) : nullptr,
              });
            };
            add(right, sums);
            if (gate != nullptr) add(gate, gateSums);
          }
        }
        if (last) store(product, rows, panel, sums + place, gateSums + place);
      }
    }
  }

  static constexpr Multiplier multiplier{Arithmetic::kName, panelSize, packPanel, scratch, multiply};

 private:
  /// Whether the left factor's rows are whole words as they lie.
  static bool isInPlace(const Product& product) {
    return Arithmetic::kReadsRowsInPlace && std::is_same_v<T, Packed> && !product.left.transposed &&
           product.inner * sizeof(T) % sizeof(uint32_t) == 0;
  }

  /// Words of a row from some step on.
  static int64_t wordsFrom(int64_t inner, int64_t step) {
    return (inner - step * kStep<Packed>)*kTile / kStep<Packed>;
  }

  static int64_t leftTiles(int64_t rows, int64_t steps) {
    return padded(rows) / kTile * std::min(steps, kStepsAtOnce);
  }

  /// The eighth of a piece of the next panel that a tile of rows brings.
  static const Words* nextPart(const Words* piece, int64_t tile, int64_t length) {
    const auto* bytes = reinterpret_cast<const char*>(piece);
    return reinterpret_cast<const Words*>(bytes + tile * kLinesAtOnce * length * 64);
  }

  /// Lays rows of the left factor out, so many steps from step `at`: `[padded rows / 16, steps]` tiles.
  static void packLeft(const Product& product, IndexRange rows, int64_t at, int64_t steps, Words* to) {
    const Source<T, Packed> source(product.left);
    __m512i low[16];
    __m512i high[16];
    for (int64_t row = rows.first; row < rows.end; row += kAtOnce) {
      Words* first = to + (row - rows.first) / kTile * steps;
      Words* second = first + steps;
      for (int64_t step = 0; step < steps; ++step, ++first, ++second) {
        const int64_t column = (at + step) * kStep<Packed>;
        if (source.transposed) {
          source.across(column, product.inner, row, rows.end, low, high);
        } else {
          source.along(row, rows.end, column, product.inner, low, high);
        }
        if (source.transposed != Arithmetic::isLeftAcross(product.left)) {
          transposeWords(low);
          transposeWords(high);
        }
        storeWords(low, first);
        if (row + kTile < rows.end) storeWords(high, second);
      }
    }
  }

  /// Rounds the sums of a panel into the output.
  static void store(const Product& product, IndexRange rows, int64_t panel, const float* sums,
                    const float* gateSums) {
    const int64_t column = panel * kPanelColumns;
    const __mmask32 kept = firstOf32(product.columns - column);
    T* to = static_cast<T*>(product.output) + rows.first * product.columns + column;
    const auto* bias = static_cast<const T*>(product.bias);
    const Numbers offsets = bias == nullptr ? Numbers{_mm512_setzero_ps(), _mm512_setzero_ps()}
                                            : loadNumbers(bias + column, kept);
    for (int64_t row = rows.first; row < rows.end; ++row, to += product.columns, sums += kPanelColumns) {
      Numbers result{_mm512_load_ps(sums), _mm512_load_ps(sums + kTile)};
      if (product.accumulate) {
        const Numbers before = loadNumbers(to, kept);
        result = {_mm512_add_ps(result.low, before.low), _mm512_add_ps(result.high, before.high)};
      } else if (product.gate == nullptr) {
        result = {_mm512_add_ps(result.low, offsets.low), _mm512_add_ps(result.high, offsets.high)};
      } else {
        result = {gated(_mm512_load_ps(gateSums), result.low),
                  gated(_mm512_load_ps(gateSums + kTile), result.high)};
        gateSums += kPanelColumns;
      }
      storeNumbers(result, kept, to);
    }
  }

  /// silu(gate) · value, both rounded first as they are where each is computed by itself.
  static __m512 gated(__m512 gateSum, __m512 sum) {
    const __m512 gate = rounded<T>(gateSum);
    const __m512 below =
        _mm512_add_ps(_mm512_set1_ps(1), exponential(_mm512_sub_ps(_mm512_setzero_ps(), gate)));
    return _mm512_mul_ps(rounded<T>(sum), _mm512_div_ps(gate, below));
  }
};

}  // namespace
}  // namespace mallows::kernels
