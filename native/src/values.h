// JavaScript values ↔ C++ values, strict in both directions: nothing is coerced silently.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <node_api.h>

#include <array>
#include <string>
#include <vector>

#include "errors.h"
#include "handles.h"

namespace mallows {

/// What an operator's argument or result is, as far as conversion is concerned.
enum class Kind : uint8_t {
  Tensor,
  Int,
  Float,
  Bool,
  Scalar,
  String,
  DType,
  Device,
  Generator,
  TensorList,
  OptionalTensorList,
  IntList,
  FloatList,
  BoolList,
  Unsupported,
};

/// An operator's argument, digested once when the operator is bound.
struct Parameter {
  std::string name;
  Kind kind;
  bool optional;
  /// Length of a fixed-size list such as `int[2]`, for which one number stands for all; 0 otherwise.
  int32_t fixedLength;
  bool hasDefault;
  c10::IValue defaultValue;

  explicit Parameter(const c10::Argument& argument);
};

Kind kindOf(const c10::TypePtr& type);
const char* kindName(Kind kind);

/// Converts an operator's argument; throws `invalid-argument` naming the parameter.
c10::IValue toNative(napi_env env, const HandleTable& handles, napi_value value, const Parameter& parameter);
/// Converts an operator's result; new tensors get handles.
napi_value toJavaScript(napi_env env, HandleTable& handles, c10::IValue&& value);
/// An argument as people read it: `float32[2, 3]` for a tensor.
std::string describe(napi_env env, const HandleTable& handles, napi_value value, Kind kind);
std::string describe(const at::Tensor& tensor);

bool isNullish(napi_env env, napi_value value);
double toNumber(napi_env env, napi_value value);
int64_t toInteger(napi_env env, napi_value value);
bool toBool(napi_env env, napi_value value);
std::string toString(napi_env env, napi_value value);
Handle toHandle(napi_env env, napi_value value);
std::vector<int64_t> toIntegers(napi_env env, napi_value value);
/// Null and undefined entries become undefined tensors.
std::vector<at::Tensor> toTensors(napi_env env, const HandleTable& handles, napi_value value);
at::ScalarType toScalarType(napi_env env, napi_value value);
uint32_t arrayLength(napi_env env, napi_value value);
napi_value arrayElement(napi_env env, napi_value array, uint32_t index);

napi_value makeUndefined(napi_env env);
napi_value makeNumber(napi_env env, double value);
napi_value makeHandle(napi_env env, Handle handle);
napi_value makeBool(napi_env env, bool value);
napi_value makeString(napi_env env, const std::string& value);
void setProperty(napi_env env, napi_value object, const char* name, napi_value value);

/// The arguments of a call to a function with exactly `Count` parameters.
template <size_t Count>
std::array<napi_value, Count> Arguments(napi_env env, napi_callback_info info) {
  std::array<napi_value, Count> values{};
  size_t given = Count;
  check(napi_get_cb_info(env, info, &given, values.data(), nullptr, nullptr),
        "the call's arguments are unreadable");
  if (given != Count) {
    throw Failure("invalid-argument",
                  std::to_string(Count) + " arguments are expected, not " + std::to_string(given));
  }
  return values;
}

}  // namespace mallows
