//! A column's pages, checked before they are decoded.

use ::parquet::basic::{Encoding, Type};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::schema::types::ColumnDescPtr;

use super::delta;

/// Hands on pages whose counts fit what they hold: decoders make room for as many values as a page
/// says it has.
pub(super) struct Checked {
    pages: Box<dyn PageReader>,
    column: ColumnDescPtr,
    /// Values that may still come, by the footer.
    left: u64,
}

impl Checked {
    /// Checks the pages of a column chunk of `values` values, nulls among them.
    pub(super) fn new(pages: Box<dyn PageReader>, column: ColumnDescPtr, values: u64) -> Self {
        Self {
            pages,
            column,
            left: values,
        }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        let values = page.num_values();
        match page {
            Page::DictionaryPage { buf, .. } => {
                let most = match self.column.physical_type() {
                    // A length before each.
                    Type::BYTE_ARRAY | Type::INT32 | Type::FLOAT => buf.len() / 4,
                    Type::INT64 | Type::DOUBLE => buf.len() / 8,
                    Type::INT96 => buf.len() / 12,
                    Type::FIXED_LEN_BYTE_ARRAY | Type::BOOLEAN => buf.len(),
                };
                if values as usize > most {
                    return Err(wrong("a dictionary is shorter than it says"));
                }
            }
            Page::DataPage { .. } | Page::DataPageV2 { .. } => {
                self.left = self
                    .left
                    .checked_sub(u64::from(values))
                    .ok_or_else(|| wrong("its pages have more values than the footer says"))?;
                let most = values as usize;
                let fits = match page.encoding() {
                    Encoding::DELTA_LENGTH_BYTE_ARRAY => self
                        .values(page)
                        .is_some_and(|bytes| delta::behind(bytes, most).is_some()),
                    Encoding::DELTA_BYTE_ARRAY => self.values(page).is_some_and(|bytes| {
                        delta::behind(bytes, most)
                            .and_then(|suffixes| delta::behind(suffixes, most))
                            .is_some()
                    }),
                    _ => true,
                };
                if !fits {
                    return Err(wrong("a page has more lengths than values"));
                }
            }
        }
        Ok(())
    }

    /// Where in a data page its values are, behind its levels.
    fn values<'a>(&self, page: &'a Page) -> Option<&'a [u8]> {
        match page {
            Page::DataPage {
                buf,
                num_values,
                def_level_encoding,
                rep_level_encoding,
                ..
            } => {
                let mut bytes: &[u8] = buf;
                let levels = [
                    (self.column.max_rep_level(), rep_level_encoding),
                    (self.column.max_def_level(), def_level_encoding),
                ];
                for (most, encoding) in levels {
                    if most == 0 {
                        continue;
                    }
                    let length = if *encoding == Encoding::RLE {
                        let (length, rest) = bytes.split_first_chunk()?;
                        bytes = rest;
                        u32::from_le_bytes(*length) as usize
                    } else {
                        let bits = u64::from(i16::BITS - most.leading_zeros());
                        usize::try_from((u64::from(*num_values) * bits).div_ceil(8)).ok()?
                    };
                    bytes = bytes.get(length..)?;
                }
                Some(bytes)
            }
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => buf.get((*def_levels_byte_len as usize) + (*rep_levels_byte_len as usize)..),
            Page::DictionaryPage { .. } => None,
        }
    }
}

fn wrong(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        loop {
            let Some(page) = self.pages.get_next_page()? else {
                return Ok(None);
            };
            self.check(&page)?;
            // The decoder would take an empty page for the last one.
            if page.is_dictionary_page() || page.num_values() > 0 {
                return Ok(Some(page));
            }
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use ::parquet::schema::parser::parse_message_type;
    use ::parquet::schema::types::SchemaDescriptor;

    use super::*;

    struct Given(std::vec::IntoIter<Page>);

    impl Iterator for Given {
        type Item = Result<Page>;

        fn next(&mut self) -> Option<Self::Item> {
            self.0.next().map(Ok)
        }
    }

    impl PageReader for Given {
        fn get_next_page(&mut self) -> Result<Option<Page>> {
            Ok(self.0.next())
        }

        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
            Ok(None)
        }

        fn skip_next_page(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn dictionary(bytes: usize, num_values: u32) -> Page {
        Page::DictionaryPage {
            buf: vec![0; bytes].into(),
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        }
    }

    fn data(num_values: u32) -> Page {
        Page::DataPage {
            buf: vec![0; 8].into(),
            num_values,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Values of the pages that are handed on, of a column of 10, or what is wrong.
    fn checked(declared: &str, pages: Vec<Page>) -> std::result::Result<Vec<u32>, String> {
        let schema = parse_message_type(&format!("message m {{ required {declared} a; }}"));
        let schema = SchemaDescriptor::new(Arc::new(schema.unwrap()));
        let pages = Box::new(Given(pages.into_iter()));
        Checked::new(pages, schema.column(0), 10)
            .map(|page| {
                page.map(|page| page.num_values())
                    .map_err(|e| e.to_string())
            })
            .collect()
    }

    #[test]
    fn counts_must_fit_what_there_is() {
        assert_eq!(checked("binary", vec![data(3), data(7)]), Ok(vec![3, 7]));
        let message = checked("binary", vec![data(3), data(8)]).unwrap_err();
        assert!(
            message.contains("more values than the footer says"),
            "{message}"
        );
        for (declared, width) in [
            ("binary", 4),
            ("int32", 4),
            ("float", 4),
            ("int64", 8),
            ("double", 8),
            ("int96", 12),
            ("fixed_len_byte_array(1)", 1),
        ] {
            let pages = |count| vec![dictionary(24, count), data(1)];
            assert_eq!(
                checked(declared, pages(24 / width)),
                Ok(vec![24 / width, 1])
            );
            let message = checked(declared, pages(24 / width + 1)).unwrap_err();
            assert!(message.contains("shorter than it says"), "{message}");
        }
    }

    #[test]
    fn pages_of_nothing_are_left_out() {
        let pages = vec![dictionary(0, 0), data(0), data(4), data(0), data(1)];
        assert_eq!(checked("binary", pages), Ok(vec![0, 4, 1]));
    }
}
