// A device of torch with the limits of Apple's MPS, for tests on any machine: it computes on the CPU, and refuses
// float64 and the operators that MPS lacks. Its tensors cannot be mixed with those of the CPU.

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <cstring>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Sizes = c10::SymIntArrayRef;

constexpr auto kType = c10::DeviceType::PrivateUse1;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);
std::set<std::string> refused_operators;

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes ? c10::alloc_cpu(bytes) : nullptr;
    return {data, data, &c10::free_cpu, c10::Device(kType, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Allocator allocator;
REGISTER_ALLOCATOR(kType, &allocator);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return {kType, 0}; }
  c10::Device getDevice() const override { return {kType, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, {kType, 0}); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

at::ScalarType checked(std::optional<at::ScalarType> type) {
  auto result = c10::dtype_or_default(type);
  TORCH_CHECK_TYPE(result != at::kDouble && result != at::kComplexDouble, "MPS has no float64");
  return result;
}

Tensor empty(Sizes size, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<at::Device>,
             std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator, kKeys, checked(type), format);
}

Tensor empty_strided(Sizes size, Sizes stride, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &allocator,
                                           kKeys, checked(type));
}

// A tensor of the CPU in the same memory.
Tensor on_cpu(const Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  auto storage = tensor.storage();
  c10::DataPtr data(storage.mutable_data(), c10::Device(at::kCPU));
  c10::Storage shared(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), nullptr, false);
  return at::empty({0}, tensor.options().device(at::kCPU))
      .set_(shared, tensor.storage_offset(), tensor.sizes(), tensor.strides());
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

Tensor as_strided(const Tensor& self, Sizes size, Sizes stride, std::optional<c10::SymInt> offset) {
  std::optional<int64_t> start;
  if (offset) start = offset->expect_int();
  return at::native::as_strided_tensorimpl(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), start);
}

Tensor view(const Tensor& self, Sizes size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }

Tensor reshape_alias(const Tensor& self, Sizes size, Sizes stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

Tensor unfold(const Tensor& self, int64_t dimension, int64_t size, int64_t step) {
  return at::native::unfold(self, dimension, size, step);
}

const Tensor& resize(const Tensor& self, Sizes size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor& set_storage(Tensor& self, at::Storage source) { return at::native::set_(self, source); }

Tensor& set_part(Tensor& self, at::Storage source, c10::SymInt offset, Sizes size, Sizes stride) {
  return at::native::set_storage_cpu_(self, source, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                                      C10_AS_INTARRAYREF_SLOW(stride));
}

at::Scalar item(const Tensor& self) { return at::native::_local_scalar_dense_cpu(on_cpu(self)); }

// torch takes fused cells on such a device, which the CPU lacks; MPS has kernels of its own for LSTM and GRU.
Tensor with_bias(const Tensor& gates, const OptionalTensor& bias) {
  return bias && bias->defined() ? gates + *bias : gates;
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input, const Tensor& hidden, const Tensor& cell,
                                             const OptionalTensor& input_bias, const OptionalTensor& hidden_bias) {
  auto gates = with_bias(input, input_bias) + with_bias(hidden, hidden_bias);
  auto parts = gates.chunk(4, 1);
  auto next = parts[1].sigmoid() * cell + parts[0].sigmoid() * parts[2].tanh();
  return {parts[3].sigmoid() * next.tanh(), next, gates};
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& input, const Tensor& hidden, const Tensor& state,
                                    const OptionalTensor& input_bias, const OptionalTensor& hidden_bias) {
  auto in = with_bias(input, input_bias).chunk(3, 1), back = with_bias(hidden, hidden_bias).chunk(3, 1);
  auto reset = (in[0] + back[0]).sigmoid(), update = (in[1] + back[1]).sigmoid();
  auto candidate = (in[2] + reset * back[2]).tanh();
  return {candidate + update * (state - candidate), candidate};
}

OptionalTensor on_cpu(const OptionalTensor& tensor) {
  return tensor && tensor->defined() ? OptionalTensor(on_cpu(*tensor)) : std::nullopt;
}

// It changes the running statistics without saying so in its schema, so that the fallback would not copy them back.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& input, const OptionalTensor& weight,
                                              const OptionalTensor& bias, const OptionalTensor& running_mean,
                                              const OptionalTensor& running_var, bool training, double momentum,
                                              double eps) {
  auto [output, mean, invstd] =
      at::native_batch_norm(on_cpu(input), on_cpu(weight), on_cpu(bias), on_cpu(running_mean), on_cpu(running_var),
                            training, momentum, eps);
  return {output.to(input.device()), mean.to(input.device()), invstd.to(input.device())};
}

// Only an index, and a number in a tensor without dimensions, may be on the CPU.
void check_devices(const std::string& name, const torch::jit::Stack& arguments) {
  if (name.rfind("aten::index", 0) == 0) return;
  for (const auto& argument : arguments) {
    bool is_elsewhere = argument.isTensor() && argument.toTensor().defined() && argument.toTensor().is_cpu();
    TORCH_CHECK(!is_elsewhere || argument.toTensor().dim() == 0, name, " has tensors that are not on the same device");
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  auto name = toString(op.operator_name());
  check_devices(name, torch::jit::last(*stack, op.schema().arguments().size()).vec());
  TORCH_CHECK_NOT_IMPLEMENTED(!refused_operators.count(name), "MPS has no operator ", name);
  at::native::cpu_fallback(op, stack);
}

void refuse(std::vector<std::string> operators) { refused_operators = {operators.begin(), operators.end()}; }

}  // namespace

TORCH_LIBRARY(mac, m) { m.def("refuse(str[] operators) -> ()", refuse); }

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("unfold", unfold);
  m.impl("resize_", resize);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_part);
  m.impl("_local_scalar_dense", item);
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("native_batch_norm", batch_norm);
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_gru_cell", gru_cell);
}
