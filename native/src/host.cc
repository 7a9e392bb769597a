#include "host.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

std::string allocatorState = "system";
std::string cudaState = "not in this build of libtorch";

/// A training step frees and asks for the same large blocks again and again. By default glibc gives each back to the
/// kernel and pays for zeroed pages the next time: keeping them makes a step about a quarter faster.
void keepFreedMemory() {
#if defined(__GLIBC__)
  const char* choice = std::getenv("MALLOWS_MALLOC");
  if (choice != nullptr && std::string_view(choice) == "system") return;
  const bool set = mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 &&
                   mallopt(M_TOP_PAD, 64 << 20) == 1 && mallopt(M_ARENA_MAX, 1) == 1;
  allocatorState = set ? "glibc, freed memory is kept" : "glibc, refused the settings";
#endif
}

/// libtorch asks once whether CUDA is there and remembers the answer, so the CUDA half is loaded before anything
/// else can ask, and only where a driver exists.
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
    if (count < 1 || count > 4096) throw Failure("invalid-argument", "between 1 and 4096 threads are expected");
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
    at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) { at::globalContext().setFlushDenormal(flush); });
    return makeBool(env, supported);
  });
}

napi_value releaseFreeMemory(napi_env env, napi_callback_info info) {
  return guarded(env, "releaseFreeMemory", [&] {
    Arguments<0>(env, info);
#if defined(__GLIBC__)
    malloc_trim(0);
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
    setProperty(env, object, "mkldnnBf16", makeBool(env, supportsMkldnn("mkldnn::_is_mkldnn_bf16_supported")));
    setProperty(env, object, "mkldnnFp16", makeBool(env, supportsMkldnn("mkldnn::_is_mkldnn_fp16_supported")));
    setProperty(env, object, "allocator", makeString(env, allocatorState));
    setProperty(env, object, "cuda", makeString(env, cudaState));
    setProperty(env, object, "cudaDevices", makeNumber(env, cudaDevices));
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
