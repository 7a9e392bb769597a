// What the kernels for AVX-512 and matrix tiles share. Only for files that are compiled with AVX-512 and its
// instructions for bf16.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "loops.h"

namespace mallows::kernels {
namespace {

using Half = c10::BFloat16;

/// A tile has 16 rows of 64 bytes. The right factor's are worked on in twos, so sizes are multiples of 32.
constexpr int64_t kTile = 16;
constexpr int64_t kAtOnce = 2 * kTile;

constexpr int64_t padded(int64_t count) { return (count + kAtOnce - 1) / kAtOnce * kAtOnce; }

/// Where the tiles of a factor lie, in bytes: from row to row of a tile, and from step to step of the inner
/// dimension.
struct TilePlaces {
  const std::byte* first;
  int64_t row;
  int64_t step;

  TilePlaces(const void* first, int64_t row, int64_t step)
      : first(static_cast<const std::byte*>(first)), row(row), step(step) {}
};

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

}  // namespace
}  // namespace mallows::kernels
