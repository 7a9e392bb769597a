// Any ATen operator by name, through libtorch's boxed dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <node_api.h>

#include <string>
#include <vector>

#include "values.h"

namespace mallows {

/// An operator that JavaScript has bound: its name resolved and its schema digested, once.
struct Operator {
  explicit Operator(c10::OperatorHandle resolved);

  c10::OperatorHandle handle;
  std::string name;
  std::vector<Parameter> parameters;
  /// In-place operators return their first argument: JavaScript has that tensor already, so no handle is
  /// made.
  bool returnsFirstArgument;
};

/// `bind(name, overload)` → function; `schema(name, overload)` → the operator's signature, for the generator.
void defineDispatch(napi_env env, napi_value exports);

}  // namespace mallows
