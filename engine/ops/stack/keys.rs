//! Keys and values as rows of the packed blocks attend to them.

use super::super::int16::{PackedRight, RIGHT, View, pack_rows};
use super::super::wide::fetch;
use super::turn;

/// Keys, rotated to their positions, and values, packed head by head.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackedKeys {
    /// Keys (head, tokens) and values (tokens, head) of each head.
    pub(super) heads: Vec<[PackedRight; 2]>,
    pub(super) tokens: usize,
}

/// What is placed of a token of the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    /// (N · head), not rotated yet.
    pub(crate) key: &'a [f32],
    /// (N · head).
    pub(crate) value: &'a [f32],
    /// Half a head: real and imaginary parts.
    pub(crate) phases: (&'a [f32], &'a [f32]),
}

impl PackedKeys {
    /// Packs the keys of tokens, each rotated by its phases, and their values.
    ///
    /// # Panics
    /// When they are not all of the same width.
    pub(crate) fn placed(tokens: &[Token<'_>]) -> Self {
        let Some(first) = tokens.first() else { return Self::default() };
        let (width, head) = (first.key.len(), 2 * first.phases.0.len());
        let is_alike = |token: &Token<'_>| {
            [token.key.len(), token.value.len()] == [width; 2] && 2 * token.phases.0.len() == head
        };
        assert!(tokens.iter().all(is_alike), "tokens of one width");
        let mut heads = vec![<[PackedRight; 2]>::default(); width / head];
        heads.iter_mut().for_each(|[keys, _]| keys.begin(head, tokens.len()));
        // Panel by panel, whose keys stay in the L1 cache between being rotated and being packed.
        let mut turned = vec![0.0; RIGHT * width];
        let tokens_ahead = |panel: usize| tokens.iter().skip((panel + 1) * RIGHT).take(RIGHT);
        for (panel, tokens) in tokens.chunks(RIGHT).enumerate() {
            for token in tokens_ahead(panel) {
                fetch(token.key);
                fetch(token.value);
            }
            for (token, turned) in tokens.iter().zip(turned.chunks_exact_mut(width)) {
                turn(token.key, token.phases, turned);
            }
            let turned = View::rows(&turned[..tokens.len() * width], tokens.len(), width);
            for (at, [keys, _]) in heads.iter_mut().enumerate() {
                let of_head = turned.part(0..tokens.len(), at * head..(at + 1) * head);
                keys.pack_panel(panel, of_head.transposed());
            }
        }
        let values: Vec<&[f32]> = tokens.iter().map(|token| token.value).collect();
        pack_rows(&values, heads.iter_mut().map(|[_, values]| values).collect());
        Self { heads, tokens: tokens.len() }
    }

    /// Each head's keys and values, of (tokens, N · head) each, to be packed in place of what is there.
    pub(super) fn packing<'a>(
        &'a mut self,
        [keys, values]: [View<'a>; 2],
        head: usize,
    ) -> impl Iterator<Item = (&'a mut [PackedRight; 2], [View<'a>; 2])> {
        self.tokens = keys.rows;
        self.heads.resize_with(keys.columns / head, Default::default);
        self.heads.iter_mut().enumerate().map(move |(at, packed)| {
            let columns = at * head..(at + 1) * head;
            (packed, [keys, values].map(|all| all.part(0..all.rows, columns.clone())))
        })
    }
}
