#include "tensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <cstring>

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

struct HostFormat {
  napi_typedarray_type array;
  at::ScalarType scalar;
};

constexpr HostFormat kHostFormats[] = {
    {napi_float64_array, at::ScalarType::Double}, {napi_float32_array, at::ScalarType::Float},
    {napi_bigint64_array, at::ScalarType::Long},  {napi_int32_array, at::ScalarType::Int},
    {napi_uint8_array, at::ScalarType::Byte},
};

napi_typedarray_type arrayTypeOf(at::ScalarType scalar) {
  for (const HostFormat& format : kHostFormats) {
    if (format.scalar == scalar) return format.array;
  }
  throw Failure("invalid-argument", std::string("there is no host array for ") + c10::toString(scalar));
}

at::ScalarType scalarTypeOf(napi_typedarray_type array) {
  for (const HostFormat& format : kHostFormats) {
    if (format.array == array) return format.scalar;
  }
  throw Failure("invalid-argument",
                "a Float64Array, Float32Array, BigInt64Array, Int32Array or Uint8Array is expected");
}

/// The dtype in which a tensor travels. JavaScript has no arrays of half-precision floats or of booleans:
/// float32 holds every value of the former, bytes those of the latter.
at::ScalarType hostScalarType(at::ScalarType scalar) {
  switch (scalar) {
    case at::ScalarType::BFloat16:
    case at::ScalarType::Half:
      return at::ScalarType::Float;
    case at::ScalarType::Bool:
      return at::ScalarType::Byte;
    default:
      return scalar;
  }
}

const at::Tensor& tensorArgument(napi_env env, napi_value value) {
  return environmentOf(env).handles.tensor(toHandle(env, value));
}

/// `fromHost(array, shape, dtype, device)` copies.
napi_value fromHost(napi_env env, napi_callback_info info) {
  return guarded(env, "tensor", [&] {
    const auto arguments = Arguments<4>(env, info);
    napi_typedarray_type type;
    size_t length;
    void* data;
    check(napi_get_typedarray_info(env, arguments[0], &type, &length, &data, nullptr, nullptr),
          "a typed array is expected");
    const std::vector<int64_t> shape = toIntegers(env, arguments[1]);
    const c10::NoGradGuard noGrad;
    at::Tensor host = at::empty(shape, at::TensorOptions(scalarTypeOf(type)));
    if (static_cast<size_t>(host.numel()) != length) {
      throw Failure("invalid-argument", "the shape asks for " + std::to_string(host.numel()) +
                                            " numbers, but " + std::to_string(length) + " are given");
    }
    if (length > 0) std::memcpy(host.mutable_data_ptr(), data, host.nbytes());
    const at::TensorOptions target =
        at::TensorOptions(toScalarType(env, arguments[2])).device(c10::Device(toString(env, arguments[3])));
    return makeHandle(env, environmentOf(env).handles.add(host.to(target)));
  });
}

/// `toHost(tensor, asFloat64)` → typed array, contiguous, a copy.
napi_value toHost(napi_env env, napi_callback_info info) {
  return guarded(env, "toArray", [&] {
    const auto arguments = Arguments<2>(env, info);
    const at::Tensor& tensor = tensorArgument(env, arguments[0]);
    const at::ScalarType scalar =
        toBool(env, arguments[1]) ? at::ScalarType::Double : hostScalarType(tensor.scalar_type());
    const napi_typedarray_type type = arrayTypeOf(scalar);
    void* data;
    napi_value buffer, array;
    const size_t bytes = static_cast<size_t>(tensor.numel()) * c10::elementSize(scalar);
    check(napi_create_arraybuffer(env, bytes, &data, &buffer), "the host has no memory left for the copy");
    if (bytes > 0) {
      const c10::NoGradGuard noGrad;
      // Widened here, not there: MPS has no fp64.
      at::from_blob(data, tensor.sizes(), at::TensorOptions(scalar))
          .copy_(tensor.is_mps() ? tensor.cpu() : tensor);
    }
    check(napi_create_typedarray(env, type, static_cast<size_t>(tensor.numel()), buffer, 0, &array),
          "the typed array could not be made");
    return array;
  });
}

napi_value item(napi_env env, napi_callback_info info) {
  return guarded(env, "item", [&] {
    const at::Tensor& tensor = tensorArgument(env, Arguments<1>(env, info)[0]);
    if (tensor.numel() != 1) {
      throw Failure("invalid-argument", "a tensor with one element is expected, not " + describe(tensor));
    }
    const at::Scalar scalar = tensor.item();
    return makeNumber(env, scalar.isBoolean() ? scalar.toBool() : scalar.toDouble());
  });
}

napi_value shape(napi_env env, napi_callback_info info) {
  return guarded(env, "shape", [&] {
    const at::Tensor& tensor = tensorArgument(env, Arguments<1>(env, info)[0]);
    napi_value array;
    napi_create_array_with_length(env, static_cast<size_t>(tensor.dim()), &array);
    for (int64_t i = 0; i < tensor.dim(); ++i) {
      napi_set_element(env, array, static_cast<uint32_t>(i),
                       makeNumber(env, static_cast<double>(tensor.size(i))));
    }
    return array;
  });
}

napi_value dtype(napi_env env, napi_callback_info info) {
  return guarded(env, "dtype", [&] {
    return makeNumber(env,
                      static_cast<double>(tensorArgument(env, Arguments<1>(env, info)[0]).scalar_type()));
  });
}

napi_value device(napi_env env, napi_callback_info info) {
  return guarded(env, "device", [&] {
    return makeString(env, tensorArgument(env, Arguments<1>(env, info)[0]).device().str());
  });
}

/// `release(handles, count)`: a scope's tensors in one call.
napi_value release(napi_env env, napi_callback_info info) {
  return guarded(env, "dispose", [&] {
    const auto arguments = Arguments<2>(env, info);
    napi_typedarray_type type;
    size_t length;
    void* data;
    check(napi_get_typedarray_info(env, arguments[0], &type, &length, &data, nullptr, nullptr),
          "a Uint32Array is expected");
    const auto count = static_cast<size_t>(toInteger(env, arguments[1]));
    if (type != napi_uint32_array || count > length)
      throw Failure("invalid-argument", "a Uint32Array is expected");
    HandleTable& handles = environmentOf(env).handles;
    for (size_t i = 0; i < count; ++i) handles.release(static_cast<const Handle*>(data)[i]);
    return makeUndefined(env);
  });
}

napi_value liveTensors(napi_env env, napi_callback_info) {
  return makeNumber(env, static_cast<double>(environmentOf(env).handles.liveTensors()));
}

}  // namespace

void defineTensors(napi_env env, napi_value exports) {
  defineFunction(env, exports, "fromHost", fromHost);
  defineFunction(env, exports, "toHost", toHost);
  defineFunction(env, exports, "item", item);
  defineFunction(env, exports, "shape", shape);
  defineFunction(env, exports, "dtype", dtype);
  defineFunction(env, exports, "device", device);
  defineFunction(env, exports, "release", release);
  defineFunction(env, exports, "liveTensors", liveTensors);
}

}  // namespace mallows
