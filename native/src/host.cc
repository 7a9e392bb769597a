#include "host.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#if defined(__GLIBC__)
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "environment.h"
#include "kernels/parallel.h"
#include "kernels/products.h"
#include "values.h"

namespace mallows {
namespace {

std::string allocatorState = "system";
std::string cudaState = "not in this build of libtorch";

#if defined(__linux__) && defined(__GLIBC__)
/// libtorch's own allocator on a heap of huge pages: with 4 KB pages, a step spends a third of its time
/// walking page tables. glibc can do this itself, but only where an environment variable says so before the
/// process starts.
class HugePageAllocator final : public c10::Allocator {
 public:
  static HugePageAllocator& instance() {
    static HugePageAllocator allocator;
    return allocator;
  }

  /// Gives what is free back to the system. Where the heap grows again, it is new.
  void releaseFree() {
    malloc_trim(0);
    advised_ = std::min(advised_.load(), reinterpret_cast<uintptr_t>(sbrk(0)) / kHugePage * kHugePage);
  }

  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = inner_->allocate(bytes);
    if (bytes >= kHugePage) adviseGrowth();
    return data;
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    inner_->copy_data(to, from, bytes);
  }

 private:
  static constexpr size_t kHugePage = 2 << 20;

  /// The heap has grown when the program break has moved. What is new has not been written to yet, so it can
  /// still be backed by huge pages from the start.
  void adviseGrowth() {
    const auto end = reinterpret_cast<uintptr_t>(sbrk(0)) / kHugePage * kHugePage;
    uintptr_t before = advised_.load();
    while (end > before) {
      if (!advised_.compare_exchange_weak(before, end)) continue;
      madvise(reinterpret_cast<void*>(before), end - before, MADV_HUGEPAGE);
      return;
    }
  }

  c10::Allocator* inner_ = c10::GetDefaultCPUAllocator();
  std::atomic<uintptr_t> advised_{(reinterpret_cast<uintptr_t>(sbrk(0)) + kHugePage - 1) / kHugePage *
                                  kHugePage};
};
#endif

/// A training step frees and asks for the same large blocks again and again. By default glibc gives each back
/// to the kernel and pays for zeroed pages the next time: keeping them makes a step about a quarter faster.
void keepFreedMemory() {
#if defined(__GLIBC__)
  const char* choice = std::getenv("MALLOWS_MALLOC");
  if (choice != nullptr && std::string_view(choice) == "system") return;
  const bool set = mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 &&
                   mallopt(M_TOP_PAD, 64 << 20) == 1 && mallopt(M_ARENA_MAX, 1) == 1;
  allocatorState = set ? "glibc, freed memory is kept" : "glibc, refused the settings";
#if defined(__linux__)
  if (set) c10::SetCPUAllocator(&HugePageAllocator::instance(), /*priority=*/1);
#endif
#endif
}

/// libtorch asks once whether CUDA is there and remembers the answer, so the CUDA half is loaded before
/// anything else can ask, and only where a driver exists.
void loadCuda() {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &self) == 0) return;
  const std::string path(self.dli_fname);
  const std::string library = path.substr(0, path.rfind('/') + 1) + "libtorch_cuda.so";
  if (FILE* file = std::fopen(library.c_str(), "rb")) {
    std::fclose(file);
  } else {
    return;
  }
  if (dlopen("libcuda.so.1", RTLD_NOW) == nullptr) {
    cudaState = "no NVIDIA driver";
  } else if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    cudaState = std::string("libtorch_cuda does not load: ") + dlerror();
  } else {
    cudaState = "loaded";
  }
}

bool supportsMkldnn(const char* op) {
  const auto found = c10::Dispatcher::singleton().findSchema({op, ""});
  if (!found) return false;
  torch::jit::Stack stack;
  found->callBoxed(stack);
  return stack.size() == 1 && stack[0].toBool();
}

napi_value threads(napi_env env, napi_callback_info info) {
  return guarded(env, "threads", [&] {
    Arguments<0>(env, info);
    return makeNumber(env, at::get_num_threads());
  });
}

napi_value setThreads(napi_env env, napi_callback_info info) {
  return guarded(env, "setThreads", [&] {
    const int64_t count = toInteger(env, Arguments<1>(env, info)[0]);
    if (count < 1 || count > 4096)
      throw Failure("invalid-argument", "between 1 and 4096 threads are expected");
    at::set_num_threads(static_cast<int>(count));
    return makeUndefined(env);
  });
}

napi_value setMatmulPrecision(napi_env env, napi_callback_info info) {
  return guarded(env, "setMatmulPrecision", [&] {
    const std::string precision = toString(env, Arguments<1>(env, info)[0]);
    // libtorch itself only warns of an unknown word.
    if (precision != "highest" && precision != "high" && precision != "medium") {
      throw Failure("invalid-argument", "highest, high or medium is expected, not " + precision);
    }
    at::globalContext().setFloat32MatmulPrecision(precision);
    return makeUndefined(env);
  });
}

/// The flag lives in each thread's control register, so every thread of the pool is told.
napi_value setFlushDenormals(napi_env env, napi_callback_info info) {
  return guarded(env, "setFlushDenormals", [&] {
    const bool flush = toBool(env, Arguments<1>(env, info)[0]);
    const bool supported = at::globalContext().setFlushDenormal(flush);
    at::parallel_for(0, at::get_num_threads(), 1,
                     [&](int64_t, int64_t) { at::globalContext().setFlushDenormal(flush); });
    return makeBool(env, supported);
  });
}

napi_value releaseFreeMemory(napi_env env, napi_callback_info info) {
  return guarded(env, "releaseFreeMemory", [&] {
    Arguments<0>(env, info);
#if defined(__linux__) && defined(__GLIBC__)
    HugePageAllocator::instance().releaseFree();
#endif
    return makeUndefined(env);
  });
}

napi_value makeCapabilities(napi_env env) {
  napi_value object;
  napi_create_object(env, &object);
  for (const auto& [name, value] : at::cpu::get_cpu_capabilities()) {
    napi_value entry;
    if (value.isBool()) {
      entry = makeBool(env, value.toBool());
    } else if (value.isInt()) {
      entry = makeNumber(env, static_cast<double>(value.toInt()));
    } else {
      entry = makeString(env, value.isString() ? value.toStringRef() : "");
    }
    setProperty(env, object, name.c_str(), entry);
  }
  return object;
}

/// Whether the current CUDA device has compute capability 8 or more. The hooks tell it by cuDNN's
/// convolutions; a build without cuDNN does not tell, and is taken for yes.
bool cudaHasBf16() {
  const auto& hooks = at::detail::getCUDAHooks();
  return !hooks.compiledWithCuDNN() || hooks.supportsBFloat16ConvolutionWithCuDNNv8();
}

std::string nameOf(const kernels::Multiplier* multiplier) {
  return multiplier == nullptr ? "libtorch" : multiplier->name;
}

/// Facts for `engineInfo()`; TypeScript gives them their meaning.
napi_value host(napi_env env, napi_callback_info info) {
  return guarded(env, "engineInfo", [&] {
    Arguments<0>(env, info);
    const bool cudaLoaded = cudaState == "loaded";
    const int cudaDevices = cudaLoaded ? at::detail::getCUDAHooks().deviceCount() : 0;
    napi_value object;
    napi_create_object(env, &object);
    setProperty(env, object, "torchVersion", makeString(env, TORCH_VERSION));
    setProperty(env, object, "cpuCapability", makeString(env, at::get_cpu_capability()));
    setProperty(env, object, "cpuFeatures", makeCapabilities(env));
    setProperty(env, object, "mkldnnBf16",
                makeBool(env, supportsMkldnn("mkldnn::_is_mkldnn_bf16_supported")));
    setProperty(env, object, "mkldnnFp16",
                makeBool(env, supportsMkldnn("mkldnn::_is_mkldnn_fp16_supported")));
    setProperty(env, object, "allocator", makeString(env, allocatorState));
    setProperty(env, object, "cuda", makeString(env, cudaState));
    setProperty(env, object, "cudaDevices", makeNumber(env, cudaDevices));
    setProperty(env, object, "cudaBf16", makeBool(env, cudaDevices > 0 && cudaHasBf16()));
    setProperty(env, object, "threadedKernels", makeBool(env, kernels::kThreaded));
    setProperty(env, object, "bf16Products", makeString(env, nameOf(kernels::multipliers().bf16)));
    setProperty(env, object, "fp32Products", makeString(env, nameOf(kernels::multipliers().fp32)));
    setProperty(env, object, "mps", makeBool(env, at::detail::getMPSHooks().hasMPS()));
    return object;
  });
}

}  // namespace

void prepareHost() {
  static std::once_flag once;
  std::call_once(once, [] {
    keepFreedMemory();
    loadCuda();
  });
}

void defineHost(napi_env env, napi_value exports) {
  defineFunction(env, exports, "threads", threads);
  defineFunction(env, exports, "setThreads", setThreads);
  defineFunction(env, exports, "setMatmulPrecision", setMatmulPrecision);
  defineFunction(env, exports, "setFlushDenormals", setFlushDenormals);
  defineFunction(env, exports, "releaseFreeMemory", releaseFreeMemory);
  defineFunction(env, exports, "host", host);
}

}  // namespace mallows
