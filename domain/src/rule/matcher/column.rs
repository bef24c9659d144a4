//! What a block has in one field, made ready for what is asked of it.

use super::index::{Column, Key, Keys, Map, bits};
use super::keyed::{Keyed, NOWHERE};
use super::rows::Rows;
use crate::vocabulary::criteria::{Subject, Value};
use crate::vocabulary::time::Timestamp;

#[derive(Default)]
pub(super) struct Encoded {
    pub present: Rows,
    /// The rows whose value could not be told, or is none that the field can have.
    pub faulty: Rows,
    /// The places of the keys that are here.
    pub keys: Vec<u32>,
    pub numbers: Vec<f64>,
    pub times: Vec<Timestamp>,
    pub texts: Texts,
}

/// The rows that have the same text.
#[derive(Default)]
pub(super) struct Texts {
    of: Vec<u32>,
    rows: Vec<Rows>,
}

/// The texts of a field, each with its rows.
#[derive(Default)]
struct Distinct<'s> {
    known: Map<&'s str, usize>,
    texts: Vec<(&'s str, Rows)>,
}

impl Encoded {
    /// Reads a field of these rows of the subjects. `folded`: a text while it is folded.
    pub fn read<S: Subject>(
        &mut self,
        (field, column): (usize, &Column),
        rows: Rows,
        subjects: &[S],
        folded: &mut String,
        keyed: &mut Keyed<'_>,
    ) {
        let (ranked, height) = (!column.probes.is_empty(), subjects.len());
        let mut distinct = Distinct::default();
        for row in rows.iter() {
            let value = match subjects[row].read(field) {
                Ok(value) if value.fits(column.kind) => value,
                _ => {
                    self.faulty.insert(row);
                    continue;
                }
            };
            if value.is_missing() {
                continue;
            }
            self.present.insert(row);
            let mut key = |key: Option<&Key>| {
                let one = Rows::from_iter([row]);
                key.into_iter().for_each(|key| keyed.add(*key, one, &mut self.keys));
            };
            match (value, &column.keys) {
                (Value::Text(text), _) => distinct.add(text, row),
                (Value::List(list), keys) => list.iter().for_each(|text| key(keys.text(text, folded))),
                (Value::Uuid(id), Keys::Ids(keys)) => key(keys.get(&id)),
                (Value::Code(code), Keys::Codes(keys)) => key(keys.get(usize::from(code))),
                (Value::Bool(bool), Keys::Codes(keys)) => key(keys.get(usize::from(bool))),
                (Value::Number(number), Keys::Numbers(keys)) => {
                    key(keys.get(&bits(number)));
                    if ranked {
                        self.numbers.resize(height, f64::NAN);
                        self.numbers[row] = number;
                    }
                }
                (Value::Time(_), _) if !ranked => {}
                (Value::Time(at), _) => {
                    self.times.resize(height, Timestamp::default());
                    self.times[row] = at;
                }
                _ => unreachable!("a value that fits has the keys of its kind"),
            }
        }
        // What is looked for in a text is looked for once, however many have it.
        for (text, rows) in distinct.texts {
            let key = column.keys.text(text, folded);
            key.into_iter().for_each(|key| keyed.add(*key, rows, &mut self.keys));
            if let Some(needles) = &column.needles {
                needles.scan(text, |key| keyed.add(key, rows, &mut self.keys));
            }
            if ranked {
                self.texts.add(rows, height);
            }
        }
    }

    /// Notes one more element of a set in these rows. Whatever is asked of a set is asked by its keys.
    pub fn add(
        &mut self,
        column: &Column,
        element: &str,
        rows: Rows,
        folded: &mut String,
        keyed: &mut Keyed<'_>,
    ) {
        self.present |= rows;
        let key = column.keys.text(element, folded);
        key.into_iter().for_each(|key| keyed.add(*key, rows, &mut self.keys));
    }
}

impl Keys {
    fn text(&self, text: &str, folded: &mut String) -> Option<&Key> {
        let Self::Texts(keys, longest) = self else { return None };
        if text.len() > *longest {
            return None;
        }
        folded.clear();
        folded.push_str(text);
        folded.make_ascii_lowercase();
        keys.get(folded.as_str())
    }
}

impl<'s> Distinct<'s> {
    fn add(&mut self, text: &'s str, row: usize) {
        let next = self.texts.len();
        let at = *self.known.entry(text).or_insert(next);
        if at == next {
            self.texts.push((text, Rows::NONE));
        }
        self.texts[at].1.insert(row);
    }
}

impl Texts {
    fn add(&mut self, rows: Rows, height: usize) {
        self.of.resize(height, NOWHERE);
        let at = u32::try_from(self.rows.len()).expect("a block is small");
        rows.iter().for_each(|row| self.of[row] = at);
        self.rows.push(rows);
    }

    /// The rows that have the text that `row` has.
    pub fn same(&self, row: usize) -> Rows {
        self.rows[self.of[row] as usize]
    }

    /// Rows whose text changed: what they have now is read anew.
    pub fn remove(&mut self, rows: Rows) {
        for row in rows.iter() {
            if let Some(of) = self.of.get(row).and_then(|at| self.rows.get_mut(*at as usize)) {
                of.remove(row);
            }
        }
    }
}
