// The addon's state, one per JavaScript environment (the main thread and every worker thread has its own).
#pragma once

#include <node_api.h>

#include <memory>
#include <vector>

#include "handles.h"

namespace mallows {

struct Operator;

struct Environment {
  HandleTable handles;
  std::vector<std::unique_ptr<Operator>> operators;
  /// `(code, message) => Error`, given by TypeScript so that failures arrive as its own error class.
  napi_ref errorFactory = nullptr;

  Environment();
  ~Environment();
};

Environment& environmentOf(napi_env env);

/// Defines `exports[name] = callback`.
void defineFunction(napi_env env, napi_value exports, const char* name, napi_callback callback);

}  // namespace mallows
