// Numbers wide and narrow, the exponential and the matrix product, in plain C++ that the compiler turns into
// the vector instructions it was told about. Included by loops.cc alone.
#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "loops.h"

namespace mallows::kernels::MALLOWS_ISA {

template <typename T>
inline Wide<T> widen(T x) {
  return x;
}

template <>
inline float widen(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
}

template <typename T>
inline T narrow(Wide<T> x) {
  return x;
}

/// To nearest, ties to even, as c10 does; without its branch, so that loops over it vectorise.
template <>
inline c10::BFloat16 narrow<c10::BFloat16>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : 0x7fc0u), c10::BFloat16::from_bits()};
}

inline double exponential(double x) { return std::exp(x); }

/// Within 2 units in the last place; 0 below the smallest normal number, and infinity from 88.4 on, a little
/// before the largest.
inline float exponential(float x) {
  constexpr float ln2High = 0.693359375f;
  constexpr float ln2Low = -2.12194440e-4f;
  const float bounded = x > 88.7f ? 88.7f : (x < -87.3f ? -87.3f : x);
  // Adding and taking away 1.5 · 2²³ rounds to the nearest whole number.
  const float shifted = bounded * 1.44269504f + 12582912.0f;
  const float whole = shifted - 12582912.0f;
  const float r = (bounded - whole * ln2High) - whole * ln2Low;
  float series = 1.9875691500e-4f;
  series = series * r + 1.3981999507e-3f;
  series = series * r + 8.3334519073e-3f;
  series = series * r + 4.1665795894e-2f;
  series = series * r + 1.6666665459e-1f;
  series = series * r + 5.0000001201e-1f;
  series = series * r * r + r + 1.0f;
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  const float value = series * std::bit_cast<float>(power);
  return x < -87.3f ? 0.0f : (x > 88.7f ? std::numeric_limits<float>::infinity() : (x == x ? value : x));
}

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kRowsAtOnce = 8;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRowsAtOnce = 6;
#else
constexpr int kVectorBytes = 16;
constexpr int kRowsAtOnce = 4;
#endif

template <typename W>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(W));
/// Columns that the matrix product works on at once: every buffer's width is a multiple of it.
template <typename W>
constexpr int64_t kColumns = 2 * kLanes<W>;

template <typename W>
inline int64_t padded(int64_t count) {
  return (count + kColumns<W> - 1) / kColumns<W> * kColumns<W>;
}

template <typename W>
struct VectorOf {
  typedef W type __attribute__((vector_size(kVectorBytes), aligned(sizeof(W)), may_alias));
};

enum class Left { rows, columns };

/// `kRows` rows of C: the accumulators stay in registers over the whole inner dimension.
template <Left kLeft, int kRows, typename W>
inline void productRows(int64_t columns, int64_t inner, const W* a, int64_t aStride, const W* b,
                        int64_t bStride, W* c, int64_t cStride, bool accumulate) {
  using Vector = typename VectorOf<W>::type;
  for (int64_t j = 0; j < columns; j += kColumns<W>) {
    Vector sums[kRows][2];
    for (int i = 0; i < kRows; ++i) {
      for (int half = 0; half < 2; ++half) {
        W* at = c + i * cStride + j + half * kLanes<W>;
        sums[i][half] = accumulate ? *reinterpret_cast<const Vector*>(at) : Vector{};
      }
    }
    for (int64_t p = 0; p < inner; ++p) {
      const Vector left = *reinterpret_cast<const Vector*>(b + p * bStride + j);
      const Vector right = *reinterpret_cast<const Vector*>(b + p * bStride + j + kLanes<W>);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const W factor = kLeft == Left::rows ? a[i * aStride + p] : a[p * aStride + i];
        sums[i][0] += factor * left;
        sums[i][1] += factor * right;
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int half = 0; half < 2; ++half) {
        *reinterpret_cast<Vector*>(c + i * cStride + j + half * kLanes<W>) = sums[i][half];
      }
    }
  }
}

/// C `[rows, columns]` = A · B, or += it. A is `[rows, inner]`, or `[inner, rows]` for `Left::columns`; B is
/// `[inner, columns]`. `columns` is a multiple of kColumns.
template <Left kLeft, typename W>
inline void product(int64_t rows, int64_t columns, int64_t inner, const W* a, int64_t aStride, const W* b,
                    int64_t bStride, W* c, int64_t cStride, bool accumulate) {
  const int64_t step = kLeft == Left::rows ? aStride : 1;
  int64_t i = 0;
  for (; i + kRowsAtOnce <= rows; i += kRowsAtOnce) {
    productRows<kLeft, kRowsAtOnce>(columns, inner, a + i * step, aStride, b, bStride, c + i * cStride,
                                    cStride, accumulate);
  }
  for (; i < rows; ++i) {
    productRows<kLeft, 1>(columns, inner, a + i * step, aStride, b, bStride, c + i * cStride, cStride,
                          accumulate);
  }
}

}  // namespace mallows::kernels::MALLOWS_ISA
