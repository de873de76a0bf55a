// What a page on another origin does to get its bookings, by each of the three ways. A test's page, not a client to copy.
"use strict";

function open(url, token) {
	const socket = new WebSocket(url + "/v1/session", "slotbell.v1");
	const messages = [];
	let wake = () => {};
	let closed = null;

	socket.onopen = () => socket.send(JSON.stringify({type: "hello", token}));
	socket.onmessage = (event) => { messages.push(event.data); wake(); };
	socket.onclose = (event) => { closed = event.code; wake(); };
	return {
		ack: (cursor) => socket.send(JSON.stringify({type: "ack", cursor})),
		close: () => socket.close(1000),
		// The next message, as text; or {closed: CODE}.
		next: async () => {
			while (!messages.length && closed === null)
				await new Promise((resolve) => { wake = resolve; });
			return messages.length ? messages.shift() : {closed};
		},
	};
}

async function byWebsocket(url, token, until) {
	const session = open(url, token);
	const texts = [];

	for (;;) {
		const text = await session.next();

		if (text.closed)
			return text;
		texts.push(text);
		const message = JSON.parse(text);
		if (message.type === "booking")
			session.ack(message.cursor);
		if (message.type === until) {
			session.close();
			return texts;
		}
	}
}

function bearer(token) {
	return {Authorization: "Bearer " + token};
}

async function ack(url, token, cursor) {
	const answer = await fetch(url + "/v1/acks", {
		method: "POST",
		headers: {...bearer(token), "Content-Type": "application/json"},
		body: JSON.stringify({type: "ack", cursor}),
	});
	return answer.json();
}

async function byStream(url, token, until) {
	const abort = new AbortController();
	const answer = await fetch(url + "/v1/stream", {headers: {...bearer(token), "Last-Event-ID": ""}, signal: abort.signal});
	const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
	const texts = [];
	let rest = "";

	for (;;) {
		const {value, done} = await reader.read();

		if (done)
			return texts;
		rest += value;
		const blocks = rest.split("\n\n");
		rest = blocks.pop();
		for (const block of blocks) {
			const line = block.split("\n").find((one) => one.startsWith("data: "));

			if (!line)
				continue;
			texts.push(line.slice(6));
			const message = JSON.parse(line.slice(6));
			if (message.type === "booking")
				await ack(url, token, message.cursor);
			if (message.type === until) {
				abort.abort();
				return texts;
			}
		}
	}
}

async function byPoll(url, token, wait) {
	const answer = await fetch(url + "/v1/bookings?wait=" + wait, {headers: bearer(token)});
	return {status: answer.status, retryAfter: answer.headers.get("Retry-After"), body: await answer.json()};
}

async function reconnect(url, token) {
	const answer = await fetch(url + "/v1/reconnect", {headers: token ? bearer(token) : {}});
	return answer.json();
}

// Each test calls one of them by its name; what is thrown is told as {error}.
function call(name, args, done) {
	window[name](...args).then(done, (error) => done({error: String(error)}));
}
