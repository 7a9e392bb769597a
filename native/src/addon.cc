// The addon's front door: one Environment per JavaScript environment, and each concern's functions.
#include <node_api.h>

#include "autograd.h"
#include "dispatch.h"
#include "environment.h"
#include "errors.h"
#include "generators.h"
#include "host.h"
#include "mapped_files.h"
#include "tensors.h"

namespace mallows {

Environment::Environment() = default;
Environment::~Environment() = default;

Environment& environmentOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void defineFunction(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace mallows

NAPI_MODULE_INIT() {
  using namespace mallows;
  prepareHost();
  napi_set_instance_data(
      env, new Environment(), [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); },
      nullptr);
  defineErrors(env, exports);
  defineDispatch(env, exports);
  defineTensors(env, exports);
  defineAutograd(env, exports);
  defineGenerators(env, exports);
  defineMappedFiles(env, exports);
  defineHost(env, exports);
  return exports;
}
