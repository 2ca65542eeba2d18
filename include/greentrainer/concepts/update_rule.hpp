#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/concepts/backend.hpp"

namespace greentrainer {

/// How many numbers a rule may keep for each element.
inline constexpr std::size_t most_state = 4;

namespace detail {

template <class R, class T, std::size_t... I>
concept UpdatesElement = requires(const R& rule, T& p, const T& g, std::array<T, sizeof...(I)>& state) {
  rule(p, g, state[I]...);
};
template <class R, class T, class Slots>
inline constexpr bool updates_element = false;
template <class R, class T, std::size_t... I>
inline constexpr bool updates_element<R, T, std::index_sequence<I...>> = UpdatesElement<R, T, I...>;

}  // namespace detail

/// An element-wise update: a small value with its constants, that a backend may copy anywhere.
/// - `state`: names of the numbers that it keeps for each element, zero at first; as torch.optim calls them.
/// - `flops`: of one element, counted as the backends' contract does.
/// - operator()(p, g, state...): the new p and state of one element from its gradient g. A constexpr function template,
///   without branches: the arguments are numbers of type T, or arrays of them (core/update_rules.hpp).
template <class R, class T>
concept UpdateRule = std::is_trivially_copyable_v<R> && requires {
  { R::state.size() } -> std::convertible_to<std::size_t>;
  { R::flops } -> std::convertible_to<Flops>;
} &&(R::state.size() <= most_state) && detail::updates_element<R, T, std::make_index_sequence<R::state.size()>>;

/// Whether a backend runs a rule itself: update_step(n, rule, parameter, gradient, state...) updates n elements in
/// place; update_candidate(n, rule, parameter, gradient, state...) the parameter alone, to the same bits, with state
/// read (null: zero) and not changed. rule.flops * n either way.
template <class B, class R, class... State>
concept TakesUpdateRule = requires(B b, const R& rule, Extent n, typename B::Scalar* out,
                                   const typename B::Scalar* vector, State*... state) {
  b.update_step(n, rule, out, vector, state...);
  b.update_candidate(n, rule, out, vector, static_cast<const typename B::Scalar*>(state)...);
};

namespace detail {

/// How many elements are on the host at once.
inline constexpr Extent update_elements_on_host = Extent{1} << 16;

/// Runs a rule on the host, for backends that don't.
template <class B, class R, class... State>
void update_on_host(B& backend, Extent n, const R& rule, typename B::Scalar* parameter,
                    const typename B::Scalar* gradient, State*... state) {
  using T = typename B::Scalar;
  const auto bytes = [](Extent count) { return count * static_cast<Bytes>(sizeof(T)); };
  const auto room = static_cast<std::size_t>(std::min(n, update_elements_on_host));
  std::array<std::vector<T>, sizeof...(State) + 2> host;
  for (auto& part : host) part.resize(room);
  const std::array<const T*, sizeof...(State) + 2> from = {parameter, gradient, state...};
  for (Extent first = 0; first < n; first += update_elements_on_host) {
    const Extent count = std::min(update_elements_on_host, n - first);
    for (std::size_t k = 0; k < host.size(); ++k) {
      if (from[k] == nullptr)
        std::fill(host[k].begin(), host[k].end(), T(0));
      else
        backend.copy_to_host(host[k].data(), from[k] + first, bytes(count));
    }
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) rule(host[0][i], host[1][i], host[I + 2][i]...);
      const auto put = [&](auto* to, const std::vector<T>& values) {
        if constexpr (!std::is_const_v<std::remove_pointer_t<decltype(to)>>)
          backend.copy_from_host(to + first, values.data(), bytes(count));
      };
      put(parameter, host[0]);
      (put(state, host[I + 2]), ...);
    }
    (std::make_index_sequence<sizeof...(State)>());
  }
}

}  // namespace detail

/// Updates n elements by a rule, in place: on the backend where it takes the rule, else on the host, a part at a time.
template <class B, UpdateRule<typename B::Scalar> R, class... State>
requires(sizeof...(State) == R::state.size()) void update_step(B& backend, Extent n, const R& rule,
                                                               typename B::Scalar* parameter,
                                                               const typename B::Scalar* gradient, State*... state) {
  if constexpr (TakesUpdateRule<B, R, State...>)
    backend.update_step(n, rule, parameter, gradient, state...);
  else
    detail::update_on_host(backend, n, rule, parameter, gradient, state...);
}

/// The same on the parameter alone: state is read (null: zero) and not changed.
template <class B, UpdateRule<typename B::Scalar> R, class... State>
requires(sizeof...(State) ==
         R::state.size()) void update_candidate(B& backend, Extent n, const R& rule, typename B::Scalar* parameter,
                                                const typename B::Scalar* gradient, const State*... state) {
  if constexpr (TakesUpdateRule<B, R, State...>)
    backend.update_candidate(n, rule, parameter, gradient, state...);
  else
    detail::update_on_host(backend, n, rule, parameter, gradient, state...);
}

}  // namespace greentrainer
