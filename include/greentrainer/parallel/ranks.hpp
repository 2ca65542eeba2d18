#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/concepts/communicator.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What ranks exchange numbers for.
enum class Traffic {
  gradients,   ///< of selected tensors
  importance,  ///< of all candidates
  evaluation,  ///< losses of examples
  control      ///< losses and FLOPs of steps, and whether ranks agree
};

/// The ranks of a run as a trainer sees them: one alone, without any exchange, or the ends of a Communicator of any
/// kind. Counts what this rank hands over, by purpose. Copies share one account.
class Ranks {
 public:
  /// What was handed over, each number once however it then travels, and the time that the caller spent on it, with
  /// waiting.
  struct Account {
    Bytes bytes = 0;
    double seconds = 0;
  };

  /// One rank.
  Ranks() = default;
  /// The communicator must outlive it.
  template <Communicator C>
  explicit Ranks(C& communicator)
      : link_(std::make_shared<LinkOver<C>>(communicator)),
        accounts_(std::make_shared<Accounts>()),
        rank_(communicator.rank()),
        size_(communicator.size()) {}

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_alone() const { return size_ == 1; }

  /// Sums over the ranks, in place, for float, double and std::int64_t.
  template <class T>
  void sum(std::span<T> numbers, Traffic purpose) {
    if (is_alone() || numbers.empty()) return;
    const Timer timer(account(purpose), std::as_bytes(numbers).size());
    link_->sum(numbers);
  }
  /// Begins a sum over the ranks, for float and double, that goes on while the caller works.
  template <class T>
  void start_sum(std::vector<T> numbers, Traffic purpose) {
    const Timer timer(account(purpose), std::as_bytes(std::span(numbers)).size());
    link_->start_sum(std::move(numbers));
  }
  /// Lets sums that were started get on; never waits.
  void advance(Traffic purpose) {
    const Timer timer(account(purpose), 0);
    link_->advance();
  }
  /// The oldest sum that was started, of this type. Waits for it.
  template <class T>
  std::vector<T> finish_sum(Traffic purpose) {
    const Timer timer(account(purpose), 0);
    std::vector<T> numbers;
    link_->finish_sum(numbers);
    return numbers;
  }
  /// The largest of the ranks' numbers at each place, in place.
  void largest(std::span<std::int64_t> numbers, Traffic purpose) {
    if (is_alone() || numbers.empty()) return;
    const Timer timer(account(purpose), std::as_bytes(numbers).size());
    link_->largest(numbers);
  }
  /// One value of each rank, in their order, on every rank.
  template <class T>
  std::vector<T> gather(const T& own, Traffic purpose) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (is_alone()) return {own};
    std::vector<T> all;
    for (const auto& bytes : gather(std::as_bytes(std::span(&own, 1)), purpose))
      std::memcpy(&all.emplace_back(), bytes.data(), sizeof(T));
    return all;
  }
  /// The same for a text.
  std::vector<std::string> gather(const std::string& own, Traffic purpose) {
    if (is_alone()) return {own};
    std::vector<std::string> all;
    for (const auto& bytes : gather(std::as_bytes(std::span(own)), purpose))
      all.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return all;
  }
  /// Whether it is so on any rank.
  bool any(bool own) {
    for (const char one : gather(static_cast<char>(own), Traffic::control)) own = own || one != 0;
    return own;
  }

  /// Of this rank, since it was connected.
  Account sent(Traffic purpose) const {
    return accounts_ ? (*accounts_)[static_cast<std::size_t>(purpose)] : Account{};
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Accounts = std::array<Account, 4>;

  /// A communicator whose type is forgotten.
  struct Link {
    virtual ~Link() = default;
    virtual void sum(std::span<float>) = 0;
    virtual void sum(std::span<double>) = 0;
    virtual void sum(std::span<std::int64_t>) = 0;
    virtual void start_sum(std::vector<float>) = 0;
    virtual void start_sum(std::vector<double>) = 0;
    virtual void advance() = 0;
    virtual void finish_sum(std::vector<float>&) = 0;
    virtual void finish_sum(std::vector<double>&) = 0;
    virtual void largest(std::span<std::int64_t>) = 0;
    virtual std::vector<std::vector<std::byte>> gather(std::span<const std::byte>) = 0;
  };
  template <class C>
  struct LinkOver final : Link {
    explicit LinkOver(C& of) : communicator(&of) {}
    void sum(std::span<float> numbers) override { communicator->all_reduce(numbers, Reduction::sum); }
    void sum(std::span<double> numbers) override { communicator->all_reduce(numbers, Reduction::sum); }
    void sum(std::span<std::int64_t> numbers) override { communicator->all_reduce(numbers, Reduction::sum); }
    void start_sum(std::vector<float> numbers) override { communicator->start_sum(std::move(numbers)); }
    void start_sum(std::vector<double> numbers) override { communicator->start_sum(std::move(numbers)); }
    void advance() override { communicator->advance(); }
    void finish_sum(std::vector<float>& numbers) override { communicator->finish_sum(numbers); }
    void finish_sum(std::vector<double>& numbers) override { communicator->finish_sum(numbers); }
    void largest(std::span<std::int64_t> numbers) override { communicator->all_reduce(numbers, Reduction::max); }
    std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) override {
      return communicator->gather(own);
    }
    C* communicator;
  };

  /// Adds an exchange to an account.
  class Timer {
   public:
    Timer(Account& account, std::size_t bytes) : account_(account) { account_.bytes += static_cast<Bytes>(bytes); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { account_.seconds += std::chrono::duration<double>(Clock::now() - start_).count(); }

   private:
    Account& account_;
    Clock::time_point start_ = Clock::now();
  };

  Account& account(Traffic purpose) { return (*accounts_)[static_cast<std::size_t>(purpose)]; }

  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own, Traffic purpose) {
    const Timer timer(account(purpose), own.size());
    return link_->gather(own);
  }

  std::shared_ptr<Link> link_;
  std::shared_ptr<Accounts> accounts_;
  int rank_ = 0, size_ = 1;
};

}  // namespace greentrainer
