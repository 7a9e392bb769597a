#include "dispatch.h"

#include <memory>
#include <sstream>
#include <utility>

#include "environment.h"

namespace mallows {
namespace {

constexpr size_t kMostArguments = 32;

c10::OperatorHandle resolve(const std::string& name, const std::string& overload) {
  auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found) {
    const std::string full = overload.empty() ? name : name + "." + overload;
    throw Failure("unknown-operator", "this libtorch has no operator " + full);
  }
  return *found;
}

bool aliasesFirstArgument(const c10::FunctionSchema& schema) {
  if (schema.returns().size() != 1 || schema.arguments().empty()) return false;
  const auto* result = schema.returns()[0].alias_info();
  const auto* first = schema.arguments()[0].alias_info();
  return result != nullptr && first != nullptr && result->isWrite() && first->isWrite() &&
         result->beforeSets() == first->beforeSets();
}

/// `aten::mm(self float32[2, 3], mat2 float32[4, 5])`
std::string describeCall(napi_env env, const HandleTable& handles, const Operator& op,
                         const napi_value* values, size_t count) {
  std::string text = op.name + '(';
  for (size_t i = 0; i < std::min(count, op.parameters.size()); ++i) {
    if (isNullish(env, values[i])) continue;
    const Parameter& parameter = op.parameters[i];
    if (text.back() != '(') text += ", ";
    text += parameter.name + ' ' + describe(env, handles, values[i], parameter.kind);
  }
  return text + ')';
}

napi_value callOperator(napi_env env, napi_callback_info info) {
  napi_value values[kMostArguments];
  size_t count = kMostArguments;
  void* data;
  napi_get_cb_info(env, info, &count, values, nullptr, &data);
  const Operator& op = *static_cast<const Operator*>(data);
  HandleTable& handles = environmentOf(env).handles;
  try {
    const size_t expected = op.parameters.size();
    if (count > expected) {
      throw Failure("invalid-argument", "at most " + std::to_string(expected) +
                                            " arguments are expected, not " + std::to_string(count));
    }
    torch::jit::Stack stack;
    stack.reserve(expected);
    for (size_t i = 0; i < count; ++i) stack.push_back(toNative(env, handles, values[i], op.parameters[i]));
    for (size_t i = count; i < expected; ++i) {
      const Parameter& parameter = op.parameters[i];
      if (!parameter.hasDefault && !parameter.optional) {
        throw Failure("invalid-argument", "argument '" + parameter.name + "' is required");
      }
      stack.push_back(parameter.defaultValue);
    }
    op.handle.callBoxed(stack);
    if (op.returnsFirstArgument || stack.empty()) return nullptr;
    if (stack.size() == 1) return toJavaScript(env, handles, std::move(stack[0]));
    napi_value results;
    napi_create_array_with_length(env, stack.size(), &results);
    for (size_t i = 0; i < stack.size(); ++i) {
      napi_set_element(env, results, static_cast<uint32_t>(i),
                       toJavaScript(env, handles, std::move(stack[i])));
    }
    return results;
  } catch (...) {
    raise(env, describeCall(env, handles, op, values, count), std::current_exception());
    return nullptr;
  }
}

napi_value bind(napi_env env, napi_callback_info info) {
  return guarded(env, "bind", [&] {
    const auto arguments = Arguments<2>(env, info);
    auto op = std::make_unique<Operator>(resolve(toString(env, arguments[0]), toString(env, arguments[1])));
    if (op->parameters.size() > kMostArguments) {
      throw Failure("unknown-operator", op->name + " has more than 32 parameters");
    }
    napi_value function;
    check(napi_create_function(env, op->name.c_str(), NAPI_AUTO_LENGTH, callOperator, op.get(), &function),
          "the function could not be made");
    environmentOf(env).operators.push_back(std::move(op));
    return function;
  });
}

napi_value makeArgument(napi_env env, const c10::Argument& argument) {
  const Parameter parameter(argument);
  napi_value object;
  napi_create_object(env, &object);
  setProperty(env, object, "name", makeString(env, parameter.name));
  setProperty(env, object, "kind", makeString(env, kindName(parameter.kind)));
  setProperty(env, object, "optional", makeBool(env, parameter.optional));
  setProperty(env, object, "fixedLength", makeNumber(env, parameter.fixedLength));
  setProperty(env, object, "hasDefault", makeBool(env, parameter.hasDefault));
  setProperty(env, object, "keywordOnly", makeBool(env, argument.kwarg_only()));
  return object;
}

napi_value schema(napi_env env, napi_callback_info info) {
  return guarded(env, "schema", [&] {
    const auto arguments = Arguments<2>(env, info);
    const auto handle = resolve(toString(env, arguments[0]), toString(env, arguments[1]));
    const c10::FunctionSchema& signature = handle.schema();
    std::ostringstream text;
    text << signature;

    const auto list = [&](const std::vector<c10::Argument>& entries) {
      napi_value array;
      napi_create_array_with_length(env, entries.size(), &array);
      for (size_t i = 0; i < entries.size(); ++i) {
        napi_set_element(env, array, static_cast<uint32_t>(i), makeArgument(env, entries[i]));
      }
      return array;
    };
    napi_value object;
    napi_create_object(env, &object);
    setProperty(env, object, "text", makeString(env, text.str()));
    setProperty(env, object, "arguments", list(signature.arguments()));
    setProperty(env, object, "returns", list(signature.returns()));
    setProperty(env, object, "returnsFirstArgument", makeBool(env, aliasesFirstArgument(signature)));
    return object;
  });
}

}  // namespace

Operator::Operator(c10::OperatorHandle resolved)
    : handle(std::move(resolved)), returnsFirstArgument(aliasesFirstArgument(handle.schema())) {
  const c10::OperatorName& full = handle.operator_name();
  name = full.overload_name.empty() ? full.name : full.name + "." + full.overload_name;
  for (const c10::Argument& argument : handle.schema().arguments()) parameters.emplace_back(argument);
}

void defineDispatch(napi_env env, napi_value exports) {
  defineFunction(env, exports, "bind", bind);
  defineFunction(env, exports, "schema", schema);
}

}  // namespace mallows
