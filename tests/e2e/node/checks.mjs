// The official Node SDK against a running gateway. Prints one JSON line per check; test_node.py starts it.
// Expects BASE_URL and the keys API_KEY, NARROW_KEY (only echo/*), POOR_KEY (no credits), SLOW_KEY (1 a minute).
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const { BASE_URL: baseURL, API_KEY: apiKey, NARROW_KEY, POOR_KEY, SLOW_KEY } = process.env;
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, timeout: 10_000 });
const messages = [{ role: 'user', content: 'Hello!' }];
const lisbon = [{ role: 'user', content: 'What is the weather and the time in Lisbon?' }];
const tool = (name, argument) => ({
    type: 'function',
    function: {
        name,
        parameters: { type: 'object', properties: { [argument]: { type: 'string' } }, required: [argument] },
    },
});
const tools = [tool('get_weather', 'city'), tool('get_time', 'zone')];

const checks = [];
const check = (name, run) => checks.push([name, run]);
const ask = (body, options) =>
    client.chat.completions.create({ model: 'muh-chat', messages, ...body }, options);

// A client that counts its requests.
const counted = (options) => {
    const state = { requests: 0 };
    state.client = new OpenAI({
        apiKey,
        baseURL,
        ...options,
        fetch: (...request) => {
            state.requests += 1;
            return fetch(...request);
        },
    });
    return state;
};

check('whole answer', async () => {
    const { data, response, request_id } = await ask().withResponse();
    assert.match(data.choices[0].message.content, /Hello!/);
    assert.equal(data.model, 'muh-chat');
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.equal(response.headers.get('x-request-id'), request_id);
    assert.equal(data._request_id, request_id);
    assert.equal(Number(response.headers.get('x-gateway-cost')), data.usage.cost);
});

check('naive loop', async () => {
    let text = '';
    let last;
    for await (const chunk of await ask({ stream: true })) {
        text += chunk.choices[0].delta.content ?? '';
        last = chunk;
    }
    assert.match(text, /You said: "Hello!"/);
    assert.ok(last.usage.total_tokens > 0);
});

check('usage in an extra chunk', async () => {
    const chunks = [];
    for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.ok(last.usage.total_tokens > 0);
    assert.ok(chunks.every((chunk) => chunk.usage === null && chunk.choices.length === 1));
});

check('several choices and logprobs', async () => {
    const answer = await ask({ n: 2, logprobs: true, top_logprobs: 1 });
    for (const choice of answer.choices) {
        assert.equal(choice.logprobs.content.map(({ token }) => token).join(''), choice.message.content);
    }
    assert.equal(answer.choices.length, 2);
});

check('stream helper', async () => {
    const stream = client.chat.completions.stream({ model: 'muh-chat', messages });
    let text = '';
    stream.on('content', (delta) => (text += delta));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
    assert.equal(await stream.finalContent(), text);
    assert.equal(final.choices[0].finish_reason, 'stop');
    assert.ok(final.usage.total_tokens > 0);
    assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

check('stream helper with functions', async () => {
    const stream = client.chat.completions.stream({ model: 'muh-chat', messages: lisbon, tools });
    const done = [];
    stream.on('tool_calls.function.arguments.done', ({ name, index }) => done.push([index, name]));
    const final = await stream.finalChatCompletion();
    assert.deepEqual(done, [[0, 'get_weather'], [1, 'get_time']]);
    const calls = final.choices[0].message.tool_calls;
    assert.equal(calls[0].function.arguments, '{"city":"Lisbon"}');
    assert.equal(new Set(calls.map(({ id }) => id)).size, 2);
    assert.equal(final.choices[0].finish_reason, 'tool_calls');
});

for (const stream of [false, true]) {
    check(`runTools, stream: ${stream}`, async () => {
        const runner = client.chat.completions.runTools({
            model: 'muh-chat',
            messages: [{ role: 'user', content: 'Weather in Lisbon?' }],
            stream,
            tools: [
                {
                    ...tools[0],
                    function: { ...tools[0].function, parse: JSON.parse, function: ({ city }) => `Sunny in ${city}` },
                },
            ],
        });
        assert.equal(await runner.finalContent(), 'Sunny in Lisbon');
    });
}

check('structured output', async () => {
    const schema = {
        type: 'object',
        properties: { name: { type: 'string' }, age: { type: 'integer' } },
        required: ['name', 'age'],
        additionalProperties: false,
    };
    const answer = await client.chat.completions.parse({
        model: 'muh-chat',
        messages: [{ role: 'user', content: 'Ada, 36' }],
        response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema } },
    });
    assert.equal(JSON.parse(answer.choices[0].message.content).age, 36);
});

check('pictures and sound', async () => {
    const content = [
        { type: 'text', text: 'Look' },
        { type: 'image_url', image_url: { url: 'https://example.com/cat.jpg' } },
        { type: 'input_audio', input_audio: { data: Buffer.alloc(300).toString('base64'), format: 'wav' } },
    ];
    const answer = await ask({ messages: [{ role: 'user', content }] });
    assert.match(answer.choices[0].message.content, /Look \[image\] \[audio\]/);
});

check('models', async () => {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes('muh-chat') && names.includes('fake/model'));
    const model = await client.models.retrieve('fake/model');
    assert.deepEqual([model.id, model.object], ['fake/model', 'model']);
});

check('recorded text with cut characters', async () => {
    let text = '';
    for await (const chunk of await ask({ model: 'fake/model', stream: true })) {
        text += chunk.choices[0].delta.content ?? '';
    }
    assert.equal(text, 'Grüße 世界 👩‍👩‍👧‍👦');
});

check('AuthenticationError', async () => {
    const wrong = counted({ apiKey: 'mghp_wrong' });
    await assert.rejects(wrong.client.models.list(), (error) => {
        assert.ok(error instanceof OpenAI.AuthenticationError);
        assert.deepEqual([error.status, error.code, error.type], [401, 'invalid_api_key', 'invalid_request_error']);
        assert.match(error.requestID, /^req_/);
        return true;
    });
    assert.equal(wrong.requests, 1);
});

check('PermissionDeniedError', async () => {
    const narrow = counted({ apiKey: NARROW_KEY });
    const request = narrow.client.chat.completions.create({ model: 'fake/model', messages });
    await assert.rejects(request, (error) => {
        assert.ok(error instanceof OpenAI.PermissionDeniedError);
        assert.equal(error.type, 'model_not_allowed');
        return true;
    });
});

check('NotFoundError', async () => {
    await assert.rejects(ask({ model: 'nobody/nothing' }), (error) => {
        assert.ok(error instanceof OpenAI.NotFoundError);
        assert.deepEqual([error.code, error.param], ['model_not_found', 'model']);
        return true;
    });
});

check('BadRequestError', async () => {
    await assert.rejects(ask({ temperature: 3, stream: true }), (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.equal(error.param, 'temperature');
        return true;
    });
});

check('no credits is not retried', async () => {
    const poor = counted({ apiKey: POOR_KEY, maxRetries: 3 });
    await assert.rejects(poor.client.chat.completions.create({ model: 'muh-chat', messages }), (error) => {
        assert.ok(error instanceof OpenAI.APIError);
        assert.deepEqual([error.status, error.type], [402, 'insufficient_quota']);
        return true;
    });
    assert.equal(poor.requests, 1);
});

check('RateLimitError', async () => {
    const slow = counted({ apiKey: SLOW_KEY, maxRetries: 0 });
    await slow.client.chat.completions.create({ model: 'muh-chat', messages });
    await assert.rejects(slow.client.chat.completions.create({ model: 'muh-chat', messages }), (error) => {
        assert.ok(error instanceof OpenAI.RateLimitError);
        assert.equal(error.type, 'rate_limit');
        assert.ok(Number(error.headers.get('retry-after')) > 50);
        return true;
    });
});

check('what passes is retried', async () => {
    const patient = counted({ maxRetries: 2 });
    const answer = await patient.client.chat.completions.create({
        model: 'fake/model',
        messages: [{ role: 'user', content: 'busy' }],
    });
    assert.equal(answer.choices[0].message.content, 'At last.');
    assert.equal(patient.requests, 2);
});

check('error inside a stream', async () => {
    let text = '';
    const stream = await ask({ stream: true, echo: { cut_after: 4 } });
    await assert.rejects(
        async () => {
            for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
        },
        (error) => error instanceof OpenAI.APIError && error.type === 'upstream_error',
    );
    assert.match(text, /^You said/);
    const helper = client.chat.completions.stream({ model: 'muh-chat', messages, echo: { cut_after: 4 } });
    await assert.rejects(helper.finalChatCompletion(), OpenAI.APIError);
});

check('APIConnectionTimeoutError', async () => {
    await assert.rejects(ask({ echo: { delay: '5s' } }, { timeout: 100 }), OpenAI.APIConnectionTimeoutError);
});

check('APIConnectionError', async () => {
    const lost = new OpenAI({ apiKey, baseURL: 'http://127.0.0.1:1/v1', maxRetries: 0 });
    await assert.rejects(lost.models.list(), OpenAI.APIConnectionError);
});

check('abort', async () => {
    const { data: stream, request_id } = await ask({ stream: true, echo: { pace: '20ms', tokens: 1000 } }).withResponse();
    let chunks = 0;
    for await (const _ of stream) {
        chunks += 1;
        if (chunks === 3) stream.controller.abort();
    }
    assert.ok(chunks < 20);
    return request_id;
});

check('leaving the loop', async () => {
    const { data: stream, request_id } = await ask({ stream: true, echo: { pace: '20ms', tokens: 1000 } }).withResponse();
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    return request_id;
});

check('thirty streams at once', async () => {
    const read = async (number) => {
        let text = '';
        const stream = await ask({ stream: true, messages: [{ role: 'user', content: `caller ${number}.` }] });
        for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
        return text;
    };
    const texts = await Promise.all(Array.from({ length: 30 }, (_, number) => read(number)));
    texts.forEach((text, number) => assert.match(text, new RegExp(`caller ${number}\\.`)));
});

for (const [name, run] of checks) {
    try {
        console.log(JSON.stringify({ name, note: (await run()) ?? '' }));
    } catch (error) {
        console.log(JSON.stringify({ name, error: String(error?.stack ?? error) }));
    }
}
