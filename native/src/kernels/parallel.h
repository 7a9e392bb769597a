#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace mallows::kernels {

#if defined(_OPENMP)
constexpr bool kThreaded = true;
#else
constexpr bool kThreaded = false;
#endif

/// Elements of an elementwise loop that are worth a thread of their own.
constexpr int64_t kGrain = 1 << 14;

/// Runs `work(index, thread)` for every index below `count` on libtorch's own threads, whoever is free taking
/// the next. Nothing may be thrown from inside.
template <typename Work>
void forEachTask(int64_t count, [[maybe_unused]] int threads, const Work& work) {
#if defined(_OPENMP)
  if (count > 1 && threads > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t index = 0; index < count; ++index) work(index, omp_get_thread_num());
    return;
  }
#endif
  for (int64_t index = 0; index < count; ++index) work(index, 0);
}

/// Runs `work(first, end, part)` over `[0, count)` in equal parts of at least `grain`. Returns how many there
/// were: a sum made part by part is the same on every run.
template <typename Work>
int forEachPart(int64_t count, int64_t grain, const Work& work) {
  const int64_t most = std::max<int64_t>(1, count / std::max<int64_t>(1, grain));
  const int parts = static_cast<int>(std::min<int64_t>(at::get_num_threads(), most));
  forEachTask(parts, parts,
              [&](int64_t part, int) { work(count * part / parts, count * (part + 1) / parts, part); });
  return parts;
}

}  // namespace mallows::kernels
