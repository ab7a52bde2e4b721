//! A database in MaxMind's format.

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde_json::json;

/// A database of these networks and the codes of their countries. One of IPv4 is written as `::c000:200/120`.
pub fn countries(networks: &[(&str, &str)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.binary_format_major_version = 2;
    // libmaxminddb takes none without.
    database.metadata.build_epoch = 1_800_000_000;
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = "Test-Country".to_owned();
    for (network, code) in networks {
        let country = database.insert_value(json!({ "country": { "iso_code": code } })).unwrap();
        database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), country);
    }
    database.write_to(Vec::new()).unwrap()
}
