//! Rows of Parquet files.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use crate::episode::EpisodeError;

/// A row of the wanted columns.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    columns: Vec<(String, Field)>,
}

/// The rows of the file at `path` whose whole number in column `key` is `value`, reduced to these columns.
pub(super) fn rows_where(
    path: &Path,
    key: &str,
    value: i64,
    columns: &[&str],
) -> Result<Vec<Record>, EpisodeError> {
    let file = File::open(path).map_err(|e| EpisodeError::io("open", path, e))?;
    let fault = |got: String| EpisodeError::invalid("a Parquet table", got, path.display());
    let read = catch_unwind(AssertUnwindSafe(|| read(file, key, value, columns)));
    let rows = read.map_err(|_panic| fault("damaged bytes".to_owned()))?;
    let rows = rows.map_err(|error| fault(error.to_string()))?;
    Ok(rows
        .into_iter()
        .map(|row| Record { path: path.to_owned(), columns: row.into_columns() })
        .collect())
}

fn read(file: File, key: &str, value: i64, columns: &[&str]) -> Result<Vec<Row>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let wanted = |field: &&Arc<Type>| field.name() == key || columns.contains(&field.name());
    let fields: Vec<Arc<Type>> = schema.get_fields().iter().filter(wanted).cloned().collect();
    let missing = columns
        .iter()
        .chain([&key])
        .find(|name| !fields.iter().any(|field| field.name() == **name));
    if let Some(missing) = missing {
        return Err(ParquetError::General(format!("no column `{missing}`")));
    }
    let wanted = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
    let mut rows = Vec::new();
    for number in 0..reader.num_row_groups() {
        if !may_hold(&reader, number, key, value) {
            continue;
        }
        let group = reader.get_row_group(number)?;
        for row in RowIter::from_row_group(Some(wanted.clone()), group.as_ref())? {
            let row = row?;
            if row.get_column_iter().any(|(name, field)| name == key && whole(field) == Some(value))
            {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// Whether a group of rows may hold `value`, by the bounds that the file states: most need not be read.
fn may_hold(reader: &SerializedFileReader<File>, group: usize, key: &str, value: i64) -> bool {
    let group = reader.metadata().row_group(group);
    let column = group.columns().iter().find(|column| column.column_path().string() == key);
    match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int64(bounds)) => {
            bounds.min_opt().is_none_or(|least| *least <= value)
                && bounds.max_opt().is_none_or(|greatest| *greatest >= value)
        }
        _ => true,
    }
}

impl Record {
    /// A whole number that is not negative.
    pub(super) fn whole(&self, name: &str) -> Result<usize, EpisodeError> {
        let field = self.field(name)?;
        let number = whole(field).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| self.fault(name, "a whole number", field))
    }

    /// A finite number.
    pub(super) fn number(&self, name: &str) -> Result<f64, EpisodeError> {
        let field = self.field(name)?;
        number(field).ok_or_else(|| self.fault(name, "a number", field))
    }

    /// A list of finite numbers; a single one is a list of one.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>, EpisodeError> {
        let field = self.field(name)?;
        let numbers = match field {
            Field::ListInternal(list) => list.elements().iter().map(number).collect(),
            _ => number(field).map(|number| vec![number]),
        };
        numbers.ok_or_else(|| self.fault(name, "a list of numbers", field))
    }

    fn field(&self, name: &str) -> Result<&Field, EpisodeError> {
        let column = self.columns.iter().find(|(column, _)| column == name);
        column.map(|(_, field)| field).ok_or_else(|| {
            EpisodeError::invalid(&format!("a column `{name}`"), "none", self.path.display())
        })
    }

    fn fault(&self, name: &str, expected: &str, got: &Field) -> EpisodeError {
        let place = format!("{}, column `{name}`", self.path.display());
        EpisodeError::invalid(expected, format!("{got:.40}"), place)
    }
}

fn whole(field: &Field) -> Option<i64> {
    match field {
        Field::Int(number) => Some(i64::from(*number)),
        Field::Long(number) => Some(*number),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of actions are small")]
fn number(field: &Field) -> Option<f64> {
    let number = match field {
        Field::Bool(value) => f64::from(u8::from(*value)),
        Field::Float(value) => f64::from(*value),
        Field::Double(value) => *value,
        field => whole(field)? as f64,
    };
    number.is_finite().then_some(number)
}
