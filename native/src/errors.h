// The one place where C++ exceptions become JavaScript exceptions.
#pragma once

#include <node_api.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace mallows {

/// A failure with a stable code, for what the addon itself finds wrong.
class Failure : public std::runtime_error {
 public:
  Failure(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

/// Throws a Failure when an N-API call did not succeed.
void check(napi_status status, const char* expectation);

/// Turns the exception in flight into a pending JavaScript exception. `subject` names the operation.
void raise(napi_env env, const std::string& subject, std::exception_ptr error) noexcept;

/// Runs `body`; anything that it throws becomes a JavaScript exception about `subject`.
template <typename Body>
napi_value guarded(napi_env env, const char* subject, Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    raise(env, subject, std::current_exception());
    return nullptr;
  }
}

/// `setErrorFactory(factory)`.
void defineErrors(napi_env env, napi_value exports);

}  // namespace mallows
