//! `PACKET_PATH.md` names every reason for which a packet is dropped, and no other.

use std::collections::BTreeSet;

use airside_engine::error::DropReason;

const PAGE: &str = include_str!("../../../PACKET_PATH.md");

#[test]
fn page_and_enum_name_the_same_reasons() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let last_cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let named: BTreeSet<&str> =
        last_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let known: BTreeSet<&str> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(named, known);
}
