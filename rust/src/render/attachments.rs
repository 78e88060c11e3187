//! How many images one request holds (FACTS: the Messages API takes 100, above 2,000 pixels 20, and 32 MB in all). Of more, the newest are
//! shown. They are left out in steps, so that most requests begin like the one before and hit the provider's prompt cache.

use crate::content;
use crate::error::Result;
use crate::history::Entry;
use crate::render::RenderOptions;
use crate::render::simpler::{Attachment, attached};

const MOST: usize = 100;
const STEP: usize = 20;
/// With more than so many images in a request, none may be larger than `LARGE` in a direction.
const FEW: usize = 20;
const FEW_STEP: usize = 10;
const LARGE: u32 = 2_000;
/// Base64 of one request; the rest of its 32 MB is for everything else.
const MOST_BYTES: usize = 28 << 20;
/// Where the size of an image stands, but for photographs with long metadata.
const HEADER: usize = 128 << 10;

/// What one request does with its images and documents, in the order of history.
#[derive(Debug, Default)]
pub struct Attachments {
    images: bool,
    documents: bool,
    /// This many of the oldest are left out.
    old: usize,
    /// Of the others, those that are too large for a request with many.
    large: Vec<usize>,
    seen: usize,
}

struct Known {
    document: bool,
    bytes: usize,
    large: bool,
}

impl Attachments {
    pub fn of(entries: &[&Entry], options: &RenderOptions) -> Result<Self> {
        let mut shown = Self { images: options.images, documents: options.documents, ..Self::default() };
        if !options.images {
            return Ok(shown);
        }
        let mut known = Vec::new();
        for entry in entries.iter().filter(|entry| entry.has_image()) {
            let shows = entry.position() >= options.simpler.images_before;
            attached(entry.user(), &mut |attachment| {
                if shows && (!attachment.document || options.documents) {
                    known.push(measured(attachment));
                }
            })?;
        }
        shown.choose(&known);
        Ok(shown)
    }

    fn choose(&mut self, known: &[Known]) {
        let mut bytes = 0;
        let fits = known.iter().rev().take_while(|one| {
            bytes += one.bytes;
            bytes <= MOST_BYTES
        });
        self.old = known.len() - fits.count();
        self.keep_at_most(known, MOST, STEP);
        let large = |from: usize| {
            let kept = known.iter().enumerate().skip(from);
            kept.filter(|(_, one)| one.large).map(|(index, _)| index).collect::<Vec<_>>()
        };
        if images(&known[self.old..]) > FEW {
            self.large = large(self.old);
            // The agent must see what it has just asked for: then the old ones go, whatever their size.
            let newest = nth_last_image(known, FEW);
            if self.large.iter().any(|index| *index >= newest) {
                self.keep_at_most(known, FEW, FEW_STEP);
                self.large.clear();
            }
        }
    }

    /// Leave out whole steps of the oldest until at most `most` images are left.
    fn keep_at_most(&mut self, known: &[Known], most: usize, step: usize) {
        let count = images(known);
        if images(&known[self.old..]) > most {
            let dropped = (count - most).div_ceil(step) * step;
            self.old = self.old.max(nth_last_image(known, count - dropped));
        }
    }

    /// The words in place of the next one, if it is not shown.
    pub fn next(&mut self, attachment: &Attachment<'_>) -> Option<String> {
        let what = if attachment.document { "document" } else { "image" };
        let takes = if attachment.document { self.documents } else { self.images };
        if !takes {
            let media_type = attachment.media_type.as_deref().unwrap_or("of unknown type");
            return Some(format!("[{what}: {media_type}, not shown to this model]"));
        }
        if !self.images {
            return None;
        }
        let index = self.seen;
        self.seen += 1;
        if index < self.old {
            return Some(format!("[an older {what}, not shown any more: there are too many for one request]"));
        }
        (self.large.contains(&index))
            .then(|| format!("[a large {what}, not shown any more: there are too many for one request]"))
    }
}

fn images(known: &[Known]) -> usize {
    known.iter().filter(|one| !one.document).count()
}

/// The index from where on there are `count` images.
fn nth_last_image(known: &[Known], count: usize) -> usize {
    let mut left = count;
    let from_end = known.iter().rev().take_while(|one| {
        let takes = one.document || left > 0;
        left -= usize::from(!one.document && left > 0);
        takes
    });
    known.len() - from_end.count()
}

fn measured(attachment: &Attachment<'_>) -> Known {
    let data = attachment.data.unwrap_or_default();
    let size = (!attachment.document)
        .then(|| {
            let header = content::prefix(data, HEADER);
            content::size_of(&header).or_else(|| content::size_of(&content::prefix(data, data.len())))
        })
        .flatten();
    let large = size.is_some_and(|size| size.width.max(size.height) > LARGE);
    Known { document: attachment.document, bytes: data.len(), large }
}

#[cfg(test)]
mod tests {
    use super::{Attachments, Known};

    fn chosen(known: &[(bool, usize, bool)]) -> (usize, Vec<usize>) {
        let known: Vec<Known> = known
            .iter()
            .map(|(document, bytes, large)| Known { document: *document, bytes: *bytes, large: *large })
            .collect();
        let mut attachments = Attachments { images: true, documents: true, ..Default::default() };
        attachments.choose(&known);
        (attachments.old, attachments.large)
    }

    #[test]
    fn up_to_a_hundred_images_are_shown_and_of_more_the_newest() {
        let small = (false, 100, false);
        assert_eq!(chosen(&[small; 100]), (0, vec![]));
        assert_eq!(chosen(&[small; 101]), (20, vec![]));
        assert_eq!(chosen(&[small; 120]), (20, vec![]));
        assert_eq!(chosen(&[small; 121]), (40, vec![]));
        assert_eq!(chosen(&[(true, 100, false); 130]), (0, vec![]));
    }

    #[test]
    fn large_images_are_shown_where_there_are_few() {
        let (small, large) = ((false, 100, false), (false, 100, true));
        assert_eq!(chosen(&[large; 20]), (0, vec![]));
        assert_eq!(chosen(&[large; 21]), (10, vec![]));
        assert_eq!(chosen(&[large; 30]), (10, vec![]));
        let mut old = vec![small; 25];
        old[0] = large;
        assert_eq!(chosen(&old), (0, vec![0]));
        old[24] = large;
        assert_eq!(chosen(&old), (10, vec![]));
    }

    #[test]
    fn a_request_has_a_size() {
        assert_eq!(chosen(&[(false, 5 << 20, false); 7]).0, 2);
        assert_eq!(chosen(&[(true, 27 << 20, false), (false, 2 << 20, false)]).0, 1);
    }
}
