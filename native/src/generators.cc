#include "generators.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <mutex>

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

at::Generator makeGenerator(const c10::Device& device) {
  if (device.is_cpu()) return at::make_generator<at::CPUGeneratorImpl>();
  return at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
}

/// `generator(seed, device)` → handle.
napi_value generator(napi_env env, napi_callback_info info) {
  return guarded(env, "generator", [&] {
    const auto arguments = Arguments<2>(env, info);
    at::Generator made = makeGenerator(c10::Device(toString(env, arguments[1])));
    made.set_current_seed(static_cast<uint64_t>(toInteger(env, arguments[0])));
    return makeHandle(env, environmentOf(env).handles.add(std::move(made)));
  });
}

/// The state as bytes, in the engine's own format.
napi_value generatorState(napi_env env, napi_callback_info info) {
  return guarded(env, "generator state", [&] {
    const auto arguments = Arguments<1>(env, info);
    at::Generator source = environmentOf(env).handles.get(toHandle(env, arguments[0])).toGenerator();
    const std::lock_guard lock(source.mutex());
    const at::Tensor state = source.get_state().contiguous();
    void* data;
    napi_value buffer, array;
    check(napi_create_arraybuffer(env, state.nbytes(), &data, &buffer), "the host has no memory left");
    std::memcpy(data, state.const_data_ptr(), state.nbytes());
    check(napi_create_typedarray(env, napi_uint8_array, state.nbytes(), buffer, 0, &array), "no typed array");
    return array;
  });
}

napi_value setGeneratorState(napi_env env, napi_callback_info info) {
  return guarded(env, "generator state", [&] {
    const auto arguments = Arguments<2>(env, info);
    napi_typedarray_type type;
    size_t length;
    void* data;
    check(napi_get_typedarray_info(env, arguments[1], &type, &length, &data, nullptr, nullptr),
          "a Uint8Array is expected");
    if (type != napi_uint8_array) throw Failure("invalid-argument", "a Uint8Array is expected");
    at::Tensor state = at::empty({static_cast<int64_t>(length)}, at::TensorOptions(at::ScalarType::Byte));
    std::memcpy(state.mutable_data_ptr(), data, length);
    at::Generator target = environmentOf(env).handles.get(toHandle(env, arguments[0])).toGenerator();
    const std::lock_guard lock(target.mutex());
    target.set_state(state);
    return makeUndefined(env);
  });
}

}  // namespace

void defineGenerators(napi_env env, napi_value exports) {
  defineFunction(env, exports, "generator", generator);
  defineFunction(env, exports, "generatorState", generatorState);
  defineFunction(env, exports, "setGeneratorState", setGeneratorState);
}

}  // namespace mallows
