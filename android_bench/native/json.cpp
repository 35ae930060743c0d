#include "json.h"

#include <charconv>
#include <cmath>

namespace pfd {
namespace {

// Length of the well-formed UTF-8 sequence at the head of text, 0 when there is none.
// Source: The Unicode Standard, table 3-7.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return continues(1, low, high) && continues(2, 0x80, 0xBF) && continues(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

template <typename T>
void append_number(std::string& out, T number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void append_escaped(std::string& out, unsigned char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (c < 0x20 || c == 0x7F) {
    out += "\\u00";
    out += kHex[c >> 4];
    out += kHex[c & 15];
  } else {
    out += static_cast<char>(c);
  }
}

}  // namespace

void Json::separate() {
  if (need_comma_) text_ += ',';
  need_comma_ = true;
}

Json& Json::begin_object() {
  separate();
  text_ += '{';
  need_comma_ = false;
  return *this;
}

Json& Json::end_object() {
  text_ += '}';
  need_comma_ = true;
  return *this;
}

Json& Json::begin_array() {
  separate();
  text_ += '[';
  need_comma_ = false;
  return *this;
}

Json& Json::end_array() {
  text_ += ']';
  need_comma_ = true;
  return *this;
}

Json& Json::key(std::string_view name) {
  value(name);
  text_ += ':';
  need_comma_ = false;
  return *this;
}

Json& Json::value(std::string_view text) {
  separate();
  text_ += '"';
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      text_ += "\xEF\xBF\xBD";
    } else if (length == 1) {
      append_escaped(text_, static_cast<unsigned char>(text[0]));
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  text_ += '"';
  return *this;
}

Json& Json::value(bool flag) {
  separate();
  text_ += flag ? "true" : "false";
  return *this;
}

Json& Json::value(double number) {
  if (!std::isfinite(number)) return null();
  separate();
  append_number(text_, number);
  return *this;
}

Json& Json::value(std::int64_t number) {
  separate();
  append_number(text_, number);
  return *this;
}

Json& Json::value(std::uint64_t number) {
  separate();
  append_number(text_, number);
  return *this;
}

Json& Json::null() {
  separate();
  text_ += "null";
  return *this;
}

}  // namespace pfd
