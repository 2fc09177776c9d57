// Package rotation decides the rotation of a secret whose keys have ids, and keeps its files: the
// automation of the convention in which every <id>.key is accepted and exactly one
// <id>.key.primary signs. A rotation goes
//
//	r1*  >  r1* r2  >  r1 r2*  >  r2*
//
// and each arrow is one write of one object. Decide looks at what there is (file names, what the
// driver remembered, what consumers report, what people ordered, the time) and says what to do
// now; Apply does it to the files in memory. The driver, a controller or a simulator, writes the
// files and the State in one atomic write, and asks again. It must decide anew before each try of
// a write: a Decision holds for the moment it was made for.
//
// # What it promises
//
// Decide is pure: it reads no clock, draws nothing and sees no key material. There are never more
// than two keys and always exactly one primary. A crash anywhere between deciding and writing
// repeats nothing. What it does not understand (files edited by hand, a State that does not fit)
// it names and leaves as it is: no Decision but Retire removes a key, and Retire removes only the
// key that State names, after its gate.
//
// # What it cannot know
//
// A State that was lost is rebuilt from the files. Waits then start over, a pending order counts
// as carried out, and the schedule starts anew: late rather than twice. Two keys whose ids tell no
// order (see Order) are ambiguous, and stay as they are until somebody decides.
//
// A clock that is set back makes waits longer, one that is set forward makes them shorter; under
// Uptake a shorter wait still needs every consumer's word. Uptake is as good as the driver's list:
// a consumer that is not on it is not waited for.
package rotation
