// Receives packets as MessagePack and prints them. Boost 1.74 and nlohmann/json 3.11 or newer:
//   g++ -std=c++17 -O2 -pthread client.cpp -o client && ./client 127.0.0.1 8000 my-decoder
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

namespace beast = boost::beast;
namespace asio = boost::asio;
using json = nlohmann::json;

int main(int argc, char** argv) {
  const std::string host = argc > 1 ? argv[1] : "127.0.0.1";
  const std::string port = argc > 2 ? argv[2] : "8000";
  const std::string session = argc > 3 ? argv[3] : "my-decoder";

  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  beast::websocket::stream<asio::ip::tcp::socket> stream(context);
  asio::connect(stream.next_layer(), resolver.resolve(host, port));
  stream.set_option(beast::websocket::stream_base::decorator([](auto& request) {
    request.set("Sec-WebSocket-Protocol", "phantomlink.v1.msgpack");
  }));
  stream.handshake(host + ":" + port, "/stream/" + session);

  for (int received = 0; received < 40;) {
    beast::flat_buffer buffer;
    stream.read(buffer);
    const auto* begin = static_cast<const std::uint8_t*>(buffer.data().data());
    const json message = json::from_msgpack(begin, begin + buffer.size());
    const json& data = message.at("data");
    if (message.at("type") == "metadata") {
      std::cout << data.at("dataset") << " " << data.at("num_channels") << " channels\n";
      continue;
    }
    if (message.at("type") != "data") continue;  // a later version may send more
    ++received;
    const auto counts = data.at("spikes").at("spike_counts").get<std::vector<int>>();
    std::cout << data.at("packet_id") << " " << std::accumulate(counts.begin(), counts.end(), 0);
    const json& vx = data.at("kinematics").at("vx");  // null where there is none
    if (!vx.is_null()) std::cout << " vx " << vx.get<double>();
    if (!data.at("trial_id").is_null()) std::cout << " trial " << data.at("trial_id");
    std::cout << "\n";
  }
  beast::error_code ignored;
  stream.close(beast::websocket::close_code::normal, ignored);
}
