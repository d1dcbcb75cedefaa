//! Counters, and the columns in which they cross the language border.

use crate::error::DropReason;
use crate::ids::WorkerId;

/// One worker's figures: tables of equally long columns, so that a thousand rows cost Python as
/// little as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsColumns {
    /// The worker's number.
    pub worker: u8,
    /// `worker`, `drops`, `transports`, `layers`, `slots`, `meters`.
    pub tables: Vec<Table>,
}

/// Rows of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What a row is.
    pub name: &'static str,
    /// All of one length.
    pub columns: Vec<Column>,
}

/// One figure of every row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// With the unit in it.
    pub name: &'static str,
    /// Row by row.
    pub values: Values,
}

/// Counters and ids, or measurements.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Counters and ids.
    U64(Vec<u64>),
    /// Measurements; NaN where there is none.
    F64(Vec<f64>),
}

/// Builds one table row by row.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    table: Table,
    at: usize,
}

impl TableBuilder {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { table: Table { name, columns: Vec::new() }, at: 0 }
    }

    /// Begins a row; then every column is given in the same order for each row.
    pub(crate) fn row(&mut self) -> &mut Self {
        self.at = 0;
        self
    }

    pub(crate) fn count(&mut self, name: &'static str, value: u64) -> &mut Self {
        match self.column(name, || Values::U64(Vec::new())) {
            Values::U64(values) => values.push(value),
            Values::F64(values) => values.push(value as f64),
        }
        self
    }

    pub(crate) fn measure(&mut self, name: &'static str, value: Option<f64>) -> &mut Self {
        let value = value.unwrap_or(f64::NAN);
        match self.column(name, || Values::F64(Vec::new())) {
            Values::F64(values) => values.push(value),
            Values::U64(values) => values.push(value as u64),
        }
        self
    }

    pub(crate) fn finish(self) -> Table {
        self.table
    }

    fn column(&mut self, name: &'static str, empty: impl FnOnce() -> Values) -> &mut Values {
        let at = self.at;
        self.at += 1;
        if at == self.table.columns.len() {
            self.table.columns.push(Column { name, values: empty() });
        }
        &mut self.table.columns[at].values
    }
}

/// How many packets were dropped, by reason.
#[derive(Clone, Debug)]
pub(crate) struct Drops([u64; DropReason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl Drops {
    #[inline]
    pub(crate) fn count(&mut self, reason: DropReason) {
        self.0[reason.index()] += 1;
    }

    pub(crate) fn get(&self, reason: DropReason) -> u64 {
        self.0[reason.index()]
    }

    pub(crate) fn table(&self) -> Table {
        let mut builder = TableBuilder::new("drops");
        let row = builder.row();
        for reason in DropReason::ALL {
            row.count(reason.as_str(), self.get(*reason));
        }
        builder.finish()
    }
}

impl StatsColumns {
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self { worker: worker.0, tables: Vec::new() }
    }

    /// One column of one table, if both exist.
    #[must_use]
    pub fn column(&self, table: &str, column: &str) -> Option<&Values> {
        let table = self.tables.iter().find(|candidate| candidate.name == table)?;
        table.columns.iter().find(|each| each.name == column).map(|each| &each.values)
    }

    /// Sum of a counter over all rows; 0 where there is no such column.
    #[must_use]
    pub fn total(&self, table: &str, column: &str) -> u64 {
        match self.column(table, column) {
            Some(Values::U64(values)) => values.iter().sum(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let mut builder = TableBuilder::new("slots");
        builder.row().count("slot", 1).measure("rtt_s", Some(0.5));
        builder.row().count("slot", 2).measure("rtt_s", None);
        let mut columns = StatsColumns::new(WorkerId(0));
        columns.tables.push(builder.finish());
        assert_eq!(columns.column("slots", "slot"), Some(&Values::U64(vec![1, 2])));
        assert_eq!(columns.total("slots", "slot"), 3);
        assert_eq!(columns.column("slots", "none"), None);
    }

    #[test]
    fn every_drop_reason_is_a_column() {
        let mut drops = Drops::default();
        drops.count(DropReason::TooOld);
        let table = drops.table();
        assert_eq!(table.columns.len(), DropReason::COUNT);
        let old = table.columns.iter().find(|column| column.name == "too_old");
        assert_eq!(old.map(|column| &column.values), Some(&Values::U64(vec![1])));
    }
}
