// The table of link types beside libpcap's.
#include "bpf/link_types.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <pcap/pcap.h>

namespace {

using namespace tamis;

TEST(LinkTypes, AreThoseThatLibpcapKnows) {
    if (std::string_view(pcap_lib_version()).find("1.10.3") == std::string_view::npos)
        GTEST_SKIP() << "the table is that of 1.10.3, this is " << pcap_lib_version();
    std::size_t known = 0;
    for (int number = 0; number < 0x10000; ++number) {
        char const* const name = pcap_datalink_val_to_name(number);
        LinkType const* const row = find_link_type(number);
        ASSERT_EQ(row != nullptr, name != nullptr) << number;
        if (row == nullptr) continue;
        EXPECT_EQ(row->name, name);
        EXPECT_EQ(row->description, pcap_datalink_val_to_description(number)) << name;
        ++known;
    }
    EXPECT_EQ(known, link_types().size());
}

TEST(LinkTypes, AreFoundByWhatTcpdumpTakes) {
    for (LinkType const& type : link_types()) {
        std::string const name(type.name);
        EXPECT_EQ(find_link_type(name), &type);
        EXPECT_EQ(find_link_type("dlt_" + name), &type);
        EXPECT_EQ(find_link_type(std::to_string(type.number)), &type);
        EXPECT_EQ(pcap_datalink_name_to_val(name.c_str()), type.number);
    }
    EXPECT_EQ(find_link_type("raw")->number, 12);
    EXPECT_EQ(find_link_type("RAWX"), nullptr);
    EXPECT_EQ(find_link_type(""), nullptr);
    EXPECT_EQ(find_link_type("-1"), nullptr);
    EXPECT_EQ(find_link_type("99999999999"), nullptr);
}

// libpcap tells the number only in the header of a file.
TEST(LinkTypes, HaveTheNumbersOfFilesThatLibpcapGivesThem) {
    for (LinkType const& type : link_types()) {
        char* bytes = nullptr;
        std::size_t size = 0;
        std::FILE* const stream = open_memstream(&bytes, &size);
        pcap_t* const handle = pcap_open_dead(type.number, 65535);
        pcap_dumper_t* const dumper = pcap_dump_fopen(handle, stream);
        if (dumper) {
            pcap_dump_close(dumper);
            std::uint32_t number = 0;
            std::memcpy(&number, bytes + 20, sizeof number);
            EXPECT_EQ(number_in_file(type.number), number) << type.name;
            EXPECT_EQ(link_type_of_file(number), type.number) << type.name;
        } else {
            std::fclose(stream);  // no file can have it
        }
        pcap_close(handle);
        std::free(bytes);
    }
}

}  // namespace
