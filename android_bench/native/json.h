// Writes JSON text, one value at a time. The harness only writes JSON, it never reads any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pfd {

class Json {
 public:
  Json& begin_object();
  Json& end_object();
  Json& begin_array();
  Json& end_array();
  Json& key(std::string_view name);

  Json& value(std::string_view text);  // not UTF-8: bad bytes become U+FFFD
  Json& value(const char* text) { return value(std::string_view(text)); }
  Json& value(const std::string& text) { return value(std::string_view(text)); }
  Json& value(bool flag);
  Json& value(double number);  // NaN and infinities have no JSON form and become null
  Json& value(std::int64_t number);
  Json& value(std::uint64_t number);
  Json& value(int number) { return value(static_cast<std::int64_t>(number)); }
  Json& null();

  template <typename T>
  Json& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : null();
  }
  template <typename T>
  Json& value(const std::vector<T>& items) {
    begin_array();
    for (const auto& item : items) value(item);
    return end_array();
  }
  template <typename T>
  Json& field(std::string_view name, const T& content) {
    return key(name).value(content);
  }

  const std::string& text() const { return text_; }
  void clear() { text_.clear(), need_comma_ = false; }

 private:
  void separate();
  std::string text_;
  bool need_comma_ = false;
};

}  // namespace pfd
