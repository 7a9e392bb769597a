// What the kernels on matrix tiles (AMX) share. Only for files that are compiled with those instructions.
#pragma once

#include <immintrin.h>

#include "loops.h"

namespace mallows::kernels {
namespace {

using Half = c10::BFloat16;

/// A tile has 16 rows of 64 bytes, and two by two of them are worked on at once: sizes are multiples of 32.
constexpr int64_t kTile = 16;
constexpr int64_t kAtOnce = 2 * kTile;

constexpr int64_t padded(int64_t count) { return (count + kAtOnce - 1) / kAtOnce * kAtOnce; }

/// The processor's own format of the tiles' sizes: 64 bytes.
struct TileShapes {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) constexpr TileShapes kFullTiles;

/// Gives all eight tiles their full shape while it lives.
class Tiles {
 public:
  Tiles() { _tile_loadconfig(&kFullTiles); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// The tile instructions do not tell the compiler which memory they touch.
inline void memoryBarrier() { asm volatile("" ::: "memory"); }

inline __m512i loadWords(const void* from) { return _mm512_loadu_si512(from); }

/// Sixteen rows of sixteen 32-bit numbers, transposed in registers.
inline void transposeWords(__m512i (&rows)[16]) {
  __m512i half[16];
  for (int i = 0; i < 8; ++i) {
    half[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    half[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(half[4 * i], half[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(half[4 * i], half[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(half[4 * i + 1], half[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(half[4 * i + 1], half[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    half[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    half[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    half[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    half[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(half[i], half[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(half[i], half[i + 8], 0xdd);
  }
}

/// Two rows of 32 numbers as pairs of what stands below each other.
struct Interleaved {
  __m512i low;
  __m512i high;
};

inline Interleaved interleave(__m512i even, __m512i odd) {
  alignas(64) static constexpr uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                    37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                    11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = loadWords(kLow);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  return {_mm512_permutex2var_epi16(even, low, odd), _mm512_permutex2var_epi16(even, high, odd)};
}

inline __m256i narrow(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

inline __m512 widen(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

inline __m256i loadHalves(const Half* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline void storeHalves(Half* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

/// Within 2 units in the last place; 0 far below, infinity far above.
inline __m512 exponential(__m512 x) {
  const __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f));
  const __m512 whole = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // x − whole · ln 2 in two parts, so that nothing is lost where x is large.
  __m512 r = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(whole, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 series = _mm512_set1_ps(1.3981999507e-3f);
  series = _mm512_fmadd_ps(series, r, _mm512_set1_ps(8.3334519073e-3f));
  series = _mm512_fmadd_ps(series, r, _mm512_set1_ps(4.1665795894e-2f));
  series = _mm512_fmadd_ps(series, r, _mm512_set1_ps(1.6666665459e-1f));
  series = _mm512_fmadd_ps(series, r, _mm512_set1_ps(5.0000001201e-1f));
  series = _mm512_fmadd_ps(series, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
  return _mm512_scalef_ps(series, whole);
}

/// Where the tiles of a factor lie, in elements: from row to row of a tile, and from step to step of the
/// inner dimension.
struct TilePlaces {
  const Half* first;
  int64_t row;
  int64_t step;
};

/// C `[16, 32]`, its rows `stride` apart, = or += `steps` tiles of A · the two tiles of B at each, `apart`
/// elements from each other.
///
/// Four of the eight registers, though two by two sums would need fewer loads: where another thread shares
/// the core, registers that hold something leave too few for the loads to run ahead, and a product takes
/// twice as long.
template <typename OnStep>
inline void multiplyInto(float* c, int64_t stride, bool accumulate, int64_t steps, const TilePlaces& a,
                         const TilePlaces& b, int64_t apart, const OnStep& onStep) {
  const int64_t bytesOfC = stride * 4;
  const int64_t bytesOfA = a.row * 2;
  const int64_t bytesOfB = b.row * 2;
  if (accumulate) {
    _tile_loadd(0, c, bytesOfC);
    _tile_loadd(1, c + kTile, bytesOfC);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (int64_t step = 0; step < steps; ++step) {
    onStep(step);
    const Half* right = b.first + step * b.step;
    _tile_loadd(2, a.first + step * a.step, bytesOfA);
    _tile_loadd(3, right, bytesOfB);
    _tile_dpbf16ps(0, 2, 3);
    _tile_loadd(3, right + apart, bytesOfB);
    _tile_dpbf16ps(1, 2, 3);
  }
  _tile_stored(0, c, bytesOfC);
  _tile_stored(1, c + kTile, bytesOfC);
}

}  // namespace
}  // namespace mallows::kernels
