//! Reads what a server says on a connection that subscribes: RESP3, where a push can be told from an answer.
//!
//! Only what such a connection can hear is understood; anything else is an error, and the connection is made anew.

/// One thing that was said. Texts are borrowed from the buffer that it was read into.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    /// Unasked: a message, or what became of a subscription.
    Push(Vec<Frame<'a>>),
    Text(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Null,
    /// An array, a set or a map's keys and values.
    Many(Vec<Frame<'a>>),
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("redis said something that is not RESP3: {0}")]
pub(crate) struct NotResp(&'static str);

/// The most parts of one frame; the answer to HELLO has a few dozen.
const MOST_PARTS: usize = 1024;

/// The longest text; messages have a few dozen bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// How deep arrays may lie in arrays.
const DEEPEST: u8 = 8;

/// The first frame in the buffer and how many bytes it takes; `None` while it is not all there.
pub(crate) fn read(buffer: &[u8]) -> Result<Option<(Frame<'_>, usize)>, NotResp> {
    let mut reader = Reader { buffer, at: 0 };
    Ok(reader.frame(DEEPEST)?.map(|frame| (frame, reader.at)))
}

struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn frame(&mut self, depth: u8) -> Result<Option<Frame<'a>>, NotResp> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let Some((kind, rest)) = line.split_first() else {
            return Err(NotResp("an empty line"));
        };
        match kind {
            // A number with a fraction or of any size, and true or false: nothing that is looked at.
            b'+' | b',' | b'(' | b'#' => Ok(Some(Frame::Text(rest))),
            b'-' => Ok(Some(Frame::Error(rest))),
            b':' => Ok(Some(Frame::Integer(number(rest)?))),
            b'_' => Ok(Some(Frame::Null)),
            b'$' | b'=' | b'!' => self.text(*kind, rest),
            b'*' | b'~' => Ok(self.many(count(rest)?, depth)?.map(Frame::Many)),
            b'%' => Ok(self
                .many(count(rest)?.map(|n| 2 * n), depth)?
                .map(Frame::Many)),
            b'>' => Ok(self.many(count(rest)?, depth)?.map(Frame::Push)),
            _ => Err(NotResp("an unknown kind")),
        }
    }

    fn text(&mut self, kind: u8, length: &[u8]) -> Result<Option<Frame<'a>>, NotResp> {
        let Some(length) = count_up_to(length, LONGEST_TEXT)? else {
            return Ok(Some(Frame::Null));
        };
        let rest = &self.buffer[self.at..];
        let Some(text) = rest.get(..length).filter(|_| rest.len() >= length + 2) else {
            return Ok(None);
        };
        if &rest[length..length + 2] != b"\r\n" {
            return Err(NotResp("a text longer than it says"));
        }
        self.at += length + 2;
        Ok(Some(match kind {
            b'!' => Frame::Error(text),
            _ => Frame::Text(text),
        }))
    }

    fn many(&mut self, count: Option<usize>, depth: u8) -> Result<Option<Vec<Frame<'a>>>, NotResp> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(NotResp("too deep"));
        };
        let count = count.unwrap_or(0);
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            match self.frame(depth)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(parts))
    }

    /// Up to the next CRLF, without it.
    fn line(&mut self) -> Result<Option<&'a [u8]>, NotResp> {
        let rest = &self.buffer[self.at..];
        match rest.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => {
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            None if rest.len() > LONGEST_TEXT => Err(NotResp("a line without an end")),
            None => Ok(None),
        }
    }
}

fn number(digits: &[u8]) -> Result<i64, NotResp> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(NotResp("a number that is none"))
}

fn count(digits: &[u8]) -> Result<Option<usize>, NotResp> {
    count_up_to(digits, MOST_PARTS)
}

/// `None`: minus one, the older way to say null.
fn count_up_to(digits: &[u8], most: usize) -> Result<Option<usize>, NotResp> {
    match number(digits)? {
        -1 => Ok(None),
        count => usize::try_from(count)
            .ok()
            .filter(|count| *count <= most)
            .map(Some)
            .ok_or(NotResp("more than anybody would say")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$18\r\nchasqui:{p07}:c:p1\r\n$4\r\n6 1 \r\n";

    fn message() -> Frame<'static> {
        Frame::Push(vec![
            Frame::Text(b"message"),
            Frame::Text(b"chasqui:{p07}:c:p1"),
            Frame::Text(b"6 1 "),
        ])
    }

    #[test]
    fn a_message_is_a_push() {
        assert_eq!(read(MESSAGE), Ok(Some((message(), MESSAGE.len()))));
    }

    #[test]
    fn answers_are_no_pushes() {
        for (said, frame) in [
            (&b"+PONG\r\n"[..], Frame::Text(b"PONG")),
            (
                b"-MOVED 1 10.0.0.1:7000\r\n",
                Frame::Error(b"MOVED 1 10.0.0.1:7000"),
            ),
            (b":-7\r\n", Frame::Integer(-7)),
            (b"_\r\n", Frame::Null),
            (b"$-1\r\n", Frame::Null),
            (
                b"%1\r\n+proto\r\n:3\r\n",
                Frame::Many(vec![Frame::Text(b"proto"), Frame::Integer(3)]),
            ),
            (b"*0\r\n", Frame::Many(vec![])),
        ] {
            assert_eq!(read(said), Ok(Some((frame, said.len()))));
        }
    }

    #[test]
    fn what_is_not_all_there_is_waited_for() {
        for end in 0..MESSAGE.len() {
            assert_eq!(read(&MESSAGE[..end]), Ok(None), "{end}");
        }
        let two = [MESSAGE, b"+PO"].concat();
        assert_eq!(read(&two), Ok(Some((message(), MESSAGE.len()))));
    }

    #[test]
    fn nonsense_is_an_error_and_not_waited_for() {
        for said in [
            &b"hello\r\n"[..],
            b"\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$99999999\r\n",
            b"*99999999\r\n",
            b"$2\r\nabcd\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+x\r\n",
        ] {
            assert!(read(said).is_err(), "{}", String::from_utf8_lossy(said));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_change_to_a_message_makes_it_panic(at in 0..MESSAGE.len(), byte: u8) {
            let mut said = MESSAGE.to_vec();
            said[at] = byte;
            let _ = read(&said);
        }
    }
}
