//! Parquet files of plain columns.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

/// Values of a column, one for each row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    /// Whole numbers.
    Whole(Vec<i64>),
    /// 32-bit floats.
    Float(Vec<f32>),
    /// Lists of this many 32-bit floats, one after another.
    Floats(usize, Vec<f32>),
    /// Lists of this many whole numbers, one after another.
    Wholes(usize, Vec<i64>),
    /// Lists of this many 64-bit floats, one after another.
    Doubles(usize, Vec<f64>),
    /// Texts.
    Text(Vec<String>),
    /// Lists of one text.
    Texts(Vec<String>),
}

/// A file that grows by groups of rows.
pub(super) struct Table(SerializedFileWriter<File>);

impl Table {
    /// A new file with the columns' names and kinds, and `notes` beside them; no rows yet.
    pub(super) fn create(
        path: &Path,
        columns: &[(String, Column)],
        notes: Vec<(&str, String)>,
    ) -> Result<Self> {
        let make = || {
            let fields = columns.iter().map(|(name, column)| kind(name, column));
            let fields = fields.collect::<Result<Vec<TypePtr>, _>>()?;
            let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
            let notes = notes.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
            let properties =
                WriterProperties::builder().set_key_value_metadata(Some(notes.collect())).build();
            let file = File::create(path)?;
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        };
        make().map(Self).with_context(|| format!("create {}", path.display()))
    }

    /// Adds rows, with the columns in the order of [`Self::create`].
    pub(super) fn append(&mut self, columns: &[(String, Column)]) -> Result<()> {
        let mut rows = self.0.next_row_group()?;
        for (_, column) in columns {
            let mut writer = rows.next_column()?.context("a column that was not announced")?;
            write(&mut writer, column)?;
            writer.close()?;
        }
        ensure!(rows.next_column()?.is_none(), "expected every column that was announced");
        rows.close()?;
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(self) -> Result<()> {
        self.0.close()?;
        Ok(())
    }
}

fn kind(name: &str, column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, converted) = match column {
        Column::Whole(_) | Column::Wholes(..) => (Physical::INT64, ConvertedType::NONE),
        Column::Doubles(..) => (Physical::DOUBLE, ConvertedType::NONE),
        Column::Float(_) | Column::Floats(..) => (Physical::FLOAT, ConvertedType::NONE),
        Column::Text(_) | Column::Texts(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
    };
    let of_one = |name| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(converted)
            .build()
    };
    if matches!(column, Column::Whole(_) | Column::Float(_) | Column::Text(_)) {
        return Ok(Arc::new(of_one(name)?));
    }
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(of_one("element")?)])
        .build()?;
    let outer = Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_converted_type(ConvertedType::LIST)
        .with_fields(vec![Arc::new(list)])
        .build()?;
    Ok(Arc::new(outer))
}

fn write(writer: &mut SerializedColumnWriter<'_>, column: &Column) -> Result<(), ParquetError> {
    let texts = |texts: &[String]| -> Vec<ByteArray> {
        texts.iter().map(|text| ByteArray::from(text.as_str())).collect()
    };
    // A value of a list is there, and begins a new row unless it follows another.
    let levels = |count: usize, width: usize| -> (Vec<i16>, Vec<i16>) {
        (vec![1; count], (0..count).map(|at| i16::from(at % width != 0)).collect())
    };
    match column {
        Column::Whole(values) => writer.typed::<Int64Type>().write_batch(values, None, None),
        Column::Float(values) => writer.typed::<FloatType>().write_batch(values, None, None),
        Column::Floats(width, values) => {
            let (there, follows) = levels(values.len(), *width);
            writer.typed::<FloatType>().write_batch(values, Some(&there), Some(&follows))
        }
        Column::Wholes(width, values) => {
            let (there, follows) = levels(values.len(), *width);
            writer.typed::<Int64Type>().write_batch(values, Some(&there), Some(&follows))
        }
        Column::Doubles(width, values) => {
            let (there, follows) = levels(values.len(), *width);
            writer.typed::<DoubleType>().write_batch(values, Some(&there), Some(&follows))
        }
        Column::Text(values) => {
            writer.typed::<ByteArrayType>().write_batch(&texts(values), None, None)
        }
        Column::Texts(values) => {
            let (there, follows) = levels(values.len(), 1);
            let values = texts(values);
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&there), Some(&follows))
        }
    }
    .map(|_| ())
}
