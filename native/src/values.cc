#include "values.h"

#include <ATen/core/Generator.h>
#include <ATen/core/List.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cmath>
#include <utility>

namespace mallows {
namespace {

constexpr double kLargestExactInteger = 9007199254740991.0;  // 2^53 − 1

Failure unexpected(const std::string& expected) { return Failure("invalid-argument", expected); }

bool isType(napi_env env, napi_value value, napi_valuetype wanted) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == wanted;
}

/// JavaScript has one number type: an exact integer becomes an int Scalar, which keeps integer tensors
/// integer; everything else (fractions, infinities, NaN, −0) becomes a float Scalar.
at::Scalar toScalar(napi_env env, napi_value value) {
  double number;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    const bool exact = std::trunc(number) == number && std::abs(number) <= kLargestExactInteger &&
                       !(number == 0 && std::signbit(number));
    return exact ? at::Scalar(static_cast<int64_t>(number)) : at::Scalar(number);
  }
  if (isType(env, value, napi_boolean)) return at::Scalar(toBool(env, value));
  if (isType(env, value, napi_bigint)) return at::Scalar(toInteger(env, value));
  throw unexpected("a number, bigint or boolean is expected");
}

template <typename Element, typename Convert>
c10::List<Element> toList(napi_env env, napi_value value, Convert&& convert) {
  const uint32_t length = arrayLength(env, value);
  c10::List<Element> list;
  list.reserve(length);
  for (uint32_t i = 0; i < length; ++i) list.push_back(convert(arrayElement(env, value, i)));
  return list;
}

c10::IValue convert(napi_env env, const HandleTable& handles, napi_value value, const Parameter& parameter) {
  switch (parameter.kind) {
    case Kind::Tensor:
      return handles.tensor(toHandle(env, value));
    case Kind::Int:
      return toInteger(env, value);
    case Kind::Float:
      return toNumber(env, value);
    case Kind::Bool:
      return toBool(env, value);
    case Kind::Scalar:
      return toScalar(env, value);
    case Kind::String:
      return toString(env, value);
    case Kind::DType:
      return toScalarType(env, value);
    case Kind::Device:
      return c10::Device(toString(env, value));
    case Kind::Generator:
      return handles.get(toHandle(env, value));
    case Kind::TensorList:
      return toList<at::Tensor>(env, value,
                                [&](napi_value element) { return handles.tensor(toHandle(env, element)); });
    case Kind::OptionalTensorList:
      return toList<std::optional<at::Tensor>>(env, value, [&](napi_value element) {
        return isNullish(env, element) ? std::nullopt
                                       : std::optional<at::Tensor>(handles.tensor(toHandle(env, element)));
      });
    case Kind::IntList: {
      if (parameter.fixedLength > 0 && isType(env, value, napi_number)) {
        c10::List<int64_t> list;
        list.resize(parameter.fixedLength, toInteger(env, value));
        return list;
      }
      return toList<int64_t>(env, value, [&](napi_value element) { return toInteger(env, element); });
    }
    case Kind::FloatList:
      return toList<double>(env, value, [&](napi_value element) { return toNumber(env, element); });
    case Kind::BoolList:
      return toList<bool>(env, value, [&](napi_value element) { return toBool(env, element); });
    case Kind::Unsupported:
      break;
  }
  throw unexpected("values of this type cannot be passed from JavaScript");
}

template <typename List, typename Convert>
napi_value makeArray(napi_env env, const List& list, Convert&& convert) {
  napi_value array;
  napi_create_array_with_length(env, list.size(), &array);
  for (size_t i = 0; i < list.size(); ++i)
    napi_set_element(env, array, static_cast<uint32_t>(i), convert(list[i]));
  return array;
}

}  // namespace

Kind kindOf(const c10::TypePtr& type) {
  using TypeKind = c10::TypeKind;
  switch (type->kind()) {
    case TypeKind::TensorType:
      return Kind::Tensor;
    case TypeKind::IntType:
    case TypeKind::SymIntType:
    case TypeKind::LayoutType:
    case TypeKind::MemoryFormatType:
      return Kind::Int;
    case TypeKind::ScalarTypeType:
      return Kind::DType;
    case TypeKind::FloatType:
    case TypeKind::SymFloatType:
      return Kind::Float;
    case TypeKind::BoolType:
    case TypeKind::SymBoolType:
      return Kind::Bool;
    case TypeKind::NumberType:
      return Kind::Scalar;
    case TypeKind::StringType:
      return Kind::String;
    case TypeKind::DeviceObjType:
      return Kind::Device;
    case TypeKind::GeneratorType:
      return Kind::Generator;
    case TypeKind::ListType: {
      const auto element = type->castRaw<c10::ListType>()->getElementType();
      if (element->kind() == TypeKind::OptionalType) return Kind::OptionalTensorList;
      switch (kindOf(element)) {
        case Kind::Tensor:
          return Kind::TensorList;
        case Kind::Int:
          return Kind::IntList;
        case Kind::Float:
          return Kind::FloatList;
        case Kind::Bool:
          return Kind::BoolList;
        default:
          return Kind::Unsupported;
      }
    }
    default:
      return Kind::Unsupported;
  }
}

const char* kindName(Kind kind) {
  switch (kind) {
    case Kind::Tensor:
      return "Tensor";
    case Kind::Int:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::Bool:
      return "bool";
    case Kind::Scalar:
      return "Scalar";
    case Kind::String:
      return "str";
    case Kind::DType:
      return "DType";
    case Kind::Device:
      return "Device";
    case Kind::Generator:
      return "Generator";
    case Kind::TensorList:
      return "Tensor[]";
    case Kind::OptionalTensorList:
      return "Tensor?[]";
    case Kind::IntList:
      return "int[]";
    case Kind::FloatList:
      return "float[]";
    case Kind::BoolList:
      return "bool[]";
    case Kind::Unsupported:
      break;
  }
  return "unsupported";
}

namespace {

// `type()` shows dtypes, layouts and memory formats as plain ints; `real_type()` keeps them apart.
c10::TypePtr innerType(const c10::Argument& argument) {
  const c10::TypePtr type = argument.real_type();
  return type->kind() == c10::TypeKind::OptionalType ? type->castRaw<c10::OptionalType>()->getElementType()
                                                     : type;
}

}  // namespace

Parameter::Parameter(const c10::Argument& argument)
    : name(argument.name()),
      kind(kindOf(innerType(argument))),
      optional(argument.real_type()->kind() == c10::TypeKind::OptionalType),
      fixedLength(argument.N().value_or(0)),
      hasDefault(argument.default_value().has_value()),
      defaultValue(argument.default_value().value_or(c10::IValue())) {}

c10::IValue toNative(napi_env env, const HandleTable& handles, napi_value value, const Parameter& parameter) {
  if (isNullish(env, value)) {
    if (parameter.hasDefault) return parameter.defaultValue;
    if (parameter.optional) return c10::IValue();
    throw unexpected("argument '" + parameter.name + "' is required");
  }
  try {
    return convert(env, handles, value, parameter);
  } catch (const Failure& failure) {
    throw Failure(failure.code(), "argument '" + parameter.name + "': " + failure.what());
  }
}

napi_value toJavaScript(napi_env env, HandleTable& handles, c10::IValue&& value) {
  // An undefined tensor ("nothing here": an unused random state, say) has a handle too, so it can be passed
  // on.
  if (value.isTensor()) return makeHandle(env, handles.add(std::move(value)));
  if (value.isNone()) return makeUndefined(env);
  if (value.isInt()) return makeNumber(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return makeNumber(env, value.toDouble());
  if (value.isBool()) return makeBool(env, value.toBool());
  if (value.isString()) return makeString(env, value.toStringRef());
  if (value.isTensorList()) {
    return makeArray(env, value.toTensorVector(),
                     [&](const at::Tensor& tensor) { return makeHandle(env, handles.add(tensor)); });
  }
  throw unexpected("the operator returned a " + value.tagKind() + ", which has no JavaScript form");
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined tensor";
  std::string dtype = c10::toString(tensor.scalar_type());
  const auto [primary, legacy] = c10::getDtypeNames(tensor.scalar_type());
  std::string text = primary.empty() ? dtype : primary;
  text += '[';
  for (int64_t i = 0; i < tensor.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.size(i));
  text += ']';
  if (!tensor.is_cpu()) text += " on " + tensor.device().str();
  return text;
}

std::string describe(napi_env env, const HandleTable& handles, napi_value value, Kind kind) {
  if (isNullish(env, value)) return "none";
  try {
    switch (kind) {
      case Kind::Tensor:
        return describe(handles.tensor(toHandle(env, value)));
      case Kind::Generator:
        return "generator";
      case Kind::DType:
        return c10::getDtypeNames(toScalarType(env, value)).first;
      case Kind::TensorList:
      case Kind::OptionalTensorList: {
        constexpr uint32_t kShown = 4;
        const uint32_t length = arrayLength(env, value);
        std::string text = "[";
        for (uint32_t i = 0; i < std::min(length, kShown); ++i) {
          text += (i > 0 ? ", " : "") + describe(env, handles, arrayElement(env, value, i), Kind::Tensor);
        }
        return text + (length > kShown ? ", … " + std::to_string(length) + " in all]" : "]");
      }
      default: {
        napi_value text;
        check(napi_coerce_to_string(env, value, &text), "unprintable");
        return toString(env, text);
      }
    }
  } catch (const Failure& failure) {
    return std::string(failure.code()) == "tensor-disposed" ? "disposed tensor" : "invalid value";
  } catch (const std::exception&) {
    // This describes the arguments of a call that has failed already.
    return "invalid value";
  }
}

bool isNullish(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) != napi_ok || type == napi_undefined || type == napi_null;
}

double toNumber(napi_env env, napi_value value) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) throw unexpected("a number is expected");
  return number;
}

int64_t toInteger(napi_env env, napi_value value) {
  double number;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    if (std::trunc(number) != number || std::abs(number) > kLargestExactInteger) {
      throw unexpected("an integer is expected, not " + std::to_string(number));
    }
    return static_cast<int64_t>(number);
  }
  int64_t integer;
  bool lossless = false;
  if (napi_get_value_bigint_int64(env, value, &integer, &lossless) == napi_ok) {
    if (!lossless) throw unexpected("the bigint does not fit 64 bits");
    return integer;
  }
  throw unexpected("an integer is expected");
}

bool toBool(napi_env env, napi_value value) {
  bool flag;
  if (napi_get_value_bool(env, value, &flag) != napi_ok) throw unexpected("a boolean is expected");
  return flag;
}

std::string toString(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    throw unexpected("a string is expected");
  }
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
  return text;
}

Handle toHandle(napi_env env, napi_value value) {
  Handle handle;
  if (napi_get_value_uint32(env, value, &handle) != napi_ok) throw unexpected("a tensor is expected");
  return handle;
}

uint32_t arrayLength(napi_env env, napi_value value) {
  uint32_t length;
  if (napi_get_array_length(env, value, &length) != napi_ok) throw unexpected("an array is expected");
  return length;
}

napi_value arrayElement(napi_env env, napi_value array, uint32_t index) {
  napi_value element;
  check(napi_get_element(env, array, index, &element), "the array is unreadable");
  return element;
}

std::vector<int64_t> toIntegers(napi_env env, napi_value value) {
  std::vector<int64_t> integers(arrayLength(env, value));
  for (uint32_t i = 0; i < integers.size(); ++i) integers[i] = toInteger(env, arrayElement(env, value, i));
  return integers;
}

std::vector<at::Tensor> toTensors(napi_env env, const HandleTable& handles, napi_value value) {
  std::vector<at::Tensor> tensors(arrayLength(env, value));
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const napi_value element = arrayElement(env, value, i);
    if (!isNullish(env, element)) tensors[i] = handles.tensor(toHandle(env, element));
  }
  return tensors;
}

at::ScalarType toScalarType(napi_env env, napi_value value) {
  const int64_t code = toInteger(env, value);
  const auto type = static_cast<at::ScalarType>(code);
  if (code < 0 || type >= at::ScalarType::NumOptions || type == at::ScalarType::Undefined)
    throw unexpected("a dtype is expected");
  return type;
}

napi_value makeUndefined(napi_env env) {
  napi_value result;
  napi_get_undefined(env, &result);
  return result;
}

napi_value makeNumber(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

napi_value makeHandle(napi_env env, Handle handle) {
  napi_value result;
  napi_create_uint32(env, handle, &result);
  return result;
}

napi_value makeBool(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value makeString(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

void setProperty(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

}  // namespace mallows
