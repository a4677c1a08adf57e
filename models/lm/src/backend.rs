/// A backend that can run the language models.
///
/// The models own no operation of their own yet, so whatever runs Bone runs them.
pub trait Backend: bone::Backend {}

impl<B: bone::Backend> Backend for B {}
