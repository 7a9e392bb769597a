#include "errors.h"

#include <c10/util/Exception.h>

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

struct Report {
  std::string code;
  std::string message;
};

Report reportOf(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Failure& failure) {
    return {failure.code(), failure.what()};
  } catch (const c10::OutOfMemoryError& failure) {
    return {"out-of-memory", failure.what_without_backtrace()};
  } catch (const c10::Error& failure) {
    std::string message = failure.what_without_backtrace();
    const bool memory = message.find("can't allocate memory") != std::string::npos;
    return {memory ? "out-of-memory" : "operator-failed", std::move(message)};
  } catch (const std::bad_alloc&) {
    return {"out-of-memory", "the host has no memory left"};
  } catch (const std::exception& failure) {
    return {"operator-failed", failure.what()};
  } catch (...) {
    return {"operator-failed", "an exception of unknown type"};
  }
}

}  // namespace

void check(napi_status status, const char* expectation) {
  if (status != napi_ok) throw Failure("invalid-argument", expectation);
}

void raise(napi_env env, const std::string& subject, std::exception_ptr error) noexcept {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) return;

  const Report report = reportOf(error);
  const std::string message = subject + ": " + report.message;
  const napi_ref factory = environmentOf(env).errorFactory;
  if (factory != nullptr) {
    napi_value function, receiver, arguments[2], thrown;
    napi_get_reference_value(env, factory, &function);
    napi_get_undefined(env, &receiver);
    arguments[0] = makeString(env, report.code);
    arguments[1] = makeString(env, message);
    if (napi_call_function(env, receiver, function, 2, arguments, &thrown) == napi_ok)
      napi_throw(env, thrown);
    return;  // a factory that threw has left its own exception pending
  }
  napi_throw_error(env, report.code.c_str(), message.c_str());
}

namespace {

napi_value setErrorFactory(napi_env env, napi_callback_info info) {
  return guarded(env, "setErrorFactory", [&] {
    const auto arguments = Arguments<1>(env, info);
    Environment& environment = environmentOf(env);
    if (environment.errorFactory != nullptr) napi_delete_reference(env, environment.errorFactory);
    check(napi_create_reference(env, arguments[0], 1, &environment.errorFactory), "a function is expected");
    return makeUndefined(env);
  });
}

}  // namespace

void defineErrors(napi_env env, napi_value exports) {
  defineFunction(env, exports, "setErrorFactory", setErrorFactory);
}

}  // namespace mallows
